//! What may pass is waited for, for a while.

use super::ports::RegionError;
use env::{ObjectError, PortFuture};
use std::time::Duration;
use tokio::time::sleep;

const ATTEMPTS_MAX: u32 = 8;
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(3);

/// An error that says whether it may pass.
pub(super) trait Passing {
    fn may_pass(&self) -> bool;
}

impl Passing for ObjectError {
    fn may_pass(&self) -> bool {
        self.is_retryable()
    }
}

impl Passing for RegionError {
    fn may_pass(&self) -> bool {
        matches!(self, Self::NotReady(_))
    }
}

/// Tries again, with growing pauses, what failed for a reason that may pass.
pub(super) async fn patiently<'a, T, E: Passing>(
    mut attempt: impl FnMut() -> PortFuture<'a, Result<T, E>>,
) -> Result<T, E> {
    let mut pause = PAUSE_MIN;
    for _ in 1..ATTEMPTS_MAX {
        match attempt().await {
            Err(error) if error.may_pass() => sleep(pause).await,
            outcome => return outcome,
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
    attempt().await
}
