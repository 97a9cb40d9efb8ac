//! `farshore openapi`

use crate::output;
use anyhow::Result;

/// Prints the OpenAPI document of the REST API.
#[derive(Debug, clap::Args)]
pub(crate) struct Openapi {}

impl Openapi {
    pub(super) fn run(self) -> Result<()> {
        output::write(control_plane::rest::openapi())?;
        Ok(())
    }
}
