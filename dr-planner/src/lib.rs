//! Recovery decisions: health, assessment, plans, audit, the run machine, reports. Pure.
