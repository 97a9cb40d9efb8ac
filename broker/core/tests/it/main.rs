//! Scenarios and properties of the cores, through their public faces.

mod consumer_groups;
mod consumer_properties;
mod group_properties;
mod groups;
mod lone_shell;
mod migration;
