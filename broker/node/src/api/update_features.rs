//! UpdateFeatures: levels of features a cluster agrees on. Versions of the region's own formats are no features of
//! Kafka's, so there is none to move yet; each is refused as Kafka refuses one it does not know.

use super::{Call, Started};
use crate::Broker;
use bytes::Bytes;
use wire::ErrorCode;
use wire::api::update_features::{FeatureResult, FeatureUpdate, Request, Response, SAFE_DOWNGRADE, UNSAFE_DOWNGRADE};

/// From this version on all or nothing is done, and only the top level says which (KIP-1022).
const FIRST_ALL_OR_NOTHING: i16 = 2;

/// One feature that clients may finalise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Feature {
    name: &'static str,
    /// The highest level spoken here; 0 is off.
    highest: i16,
    /// The level that holds.
    level: i16,
}

/// The features of this cluster.
const FEATURES: &[Feature] = &[];

pub(crate) fn start(_: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let results: Vec<_> = request.feature_updates.iter().map(|update| result(FEATURES, update)).collect();
    Ok(call.reply(&answer(call.header.api_version, results)))
}

fn answer(version: i16, results: Vec<FeatureResult>) -> Response {
    let failed = results.iter().find(|result| !result.error_code.is_ok());
    match failed {
        Some(failed) if version >= FIRST_ALL_OR_NOTHING => Response {
            error_code: failed.error_code,
            error_message: Some(format!(
                "nothing was updated, because of {}: {}",
                failed.feature,
                failed.error_message.as_deref().unwrap_or_default()
            )),
            ..Default::default()
        },
        _ => Response { results, ..Default::default() },
    }
}

fn result(features: &[Feature], update: &FeatureUpdate) -> FeatureResult {
    let feature = update.feature.clone();
    match judge(features, update) {
        Ok(()) => FeatureResult { feature, ..Default::default() },
        Err(message) => FeatureResult {
            feature,
            error_code: ErrorCode::INVALID_UPDATE_VERSION,
            error_message: Some(message),
            ..Default::default()
        },
    }
}

/// Whether the level asked for is the one that holds: no level can be moved here.
fn judge(features: &[Feature], update: &FeatureUpdate) -> Result<(), String> {
    let FeatureUpdate { feature: name, max_version_level: wanted, .. } = update;
    let unknown = || format!("level {wanted} of {name} is not known here: the cluster has no such feature");
    let feature = features.iter().find(|feature| feature.name == *name).ok_or_else(unknown)?;
    let Feature { highest, level, .. } = feature;
    match *wanted {
        wanted if !(0..=*highest).contains(&wanted) => {
            Err(format!("level {wanted} of {name} is not spoken here; levels 0 to {highest} are"))
        }
        wanted if wanted == *level => Ok(()),
        wanted if wanted < *level && !is_downgrade(update) => {
            Err(format!("{name} is at level {level}; ask for a downgrade to go to {wanted}"))
        }
        wanted => Err(format!("{name} stays at level {level}: it comes with the version of the brokers, not {wanted}")),
    }
}

fn is_downgrade(update: &FeatureUpdate) -> bool {
    update.allow_downgrade || matches!(update.upgrade_type, SAFE_DOWNGRADE | UNSAFE_DOWNGRADE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUPS: &[Feature] = &[Feature { name: "group.version", highest: 1, level: 1 }];

    fn update(feature: &str, level: i16) -> FeatureUpdate {
        FeatureUpdate { feature: feature.to_owned(), max_version_level: level, ..Default::default() }
    }

    #[test]
    fn the_level_that_holds_is_taken_and_no_other() {
        assert_eq!(judge(GROUPS, &update("group.version", 1)), Ok(()));
        let refusal = |update: FeatureUpdate| judge(GROUPS, &update).unwrap_err();
        assert!(refusal(update("group.version", 2)).contains("levels 0 to 1 are"));
        assert!(refusal(update("group.version", 0)).contains("ask for a downgrade"));
        let down = FeatureUpdate { upgrade_type: SAFE_DOWNGRADE, ..update("group.version", 0) };
        assert!(refusal(down).contains("stays at level 1"));
        assert!(refusal(update("metadata.version", 25)).contains("no such feature"));
    }

    #[test]
    fn one_refusal_is_told_for_all_from_version_2_on() {
        let results = || vec![result(GROUPS, &update("group.version", 1)), result(GROUPS, &update("no.such", 1))];
        let each = answer(1, results());
        assert_eq!((each.error_code, each.results.len()), (ErrorCode::NONE, 2));
        assert_eq!(each.results[1].error_code, ErrorCode::INVALID_UPDATE_VERSION);
        let all = answer(2, results());
        assert_eq!(all.error_code, ErrorCode::INVALID_UPDATE_VERSION);
        assert!(all.error_message.unwrap().contains("no.such") && all.results.is_empty());
    }
}
