//! UpdateFeatures: finalises versions of a cluster's features (KIP-584, KIP-778).

use super::table::*;

/// A [`FeatureUpdate::upgrade_type`]: only upwards.
pub const UPGRADE: i8 = 1;
/// A [`FeatureUpdate::upgrade_type`]: down, if nothing is lost.
pub const SAFE_DOWNGRADE: i8 = 2;
/// A [`FeatureUpdate::upgrade_type`]: down, whatever is lost.
pub const UNSAFE_DOWNGRADE: i8 = 3;

message! {
    /// The levels to have.
    pub struct Request (key 57, versions 0..=2, flexible 0..) -> Response {
        timeout_ms: i32 = 60_000,
        feature_updates: Vec<FeatureUpdate>,
        validate_only: bool [1..],
    }

    /// One feature.
    pub struct FeatureUpdate {
        feature: String,
        /// Below 1: drop the feature.
        max_version_level: i16,
        allow_downgrade: bool [..=0],
        upgrade_type: i8 [1..] = 1,
    }
}

message! {
    /// The outcome. From version 2 on all or nothing is done, and only the top level says which.
    pub struct Response (key 57, versions 0..=2, flexible 0..) {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        error_message: Option<String>,
        results: Vec<FeatureResult> [..=1],
    }

    /// The outcome for one feature.
    pub struct FeatureResult {
        feature: String,
        error_code: ErrorCode,
        error_message: Option<String>,
    }
}
