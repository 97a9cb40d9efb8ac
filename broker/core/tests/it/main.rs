//! Scenarios and properties of the cores, through their public faces.

mod group_properties;
mod groups;
mod lone_shell;
