//! Settings of consumer groups: clients ask any node for them, and the region that coordinates the group keeps them.

use crate::state::Routing;
use bytes::Bytes;
use model::{GroupId, RegionName};
use wire::api::describe_configs::BROKER;
use wire::api::list_config_resources::GROUP;
use wire::api::{alter_configs, describe_configs, incremental_alter_configs, list_config_resources};
use wire::{ApiKey, Request, RequestHeader};

/// Whose settings a request is about.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// Those of these groups, and of nothing that one region has and another has not.
    Groups(Vec<GroupId>),
    /// Those of all groups there are.
    All,
}

/// Whether requests of this API can be about settings of groups.
pub(super) fn may_concern(api_key: i16) -> bool {
    use ApiKey::{AlterConfigs, DescribeConfigs, IncrementalAlterConfigs, ListConfigResources};
    let known = [DescribeConfigs, AlterConfigs, IncrementalAlterConfigs, ListConfigResources];
    known.iter().any(|key| key.number() == api_key)
}

/// The region that keeps the settings a request is about; `None` when it is about others, or no single one keeps them.
/// `head` is the request without its prefix, as far as it is in memory.
pub(super) fn keeper(head: &[u8], routing: &Routing) -> Option<RegionName> {
    match asked(head)? {
        Asked::All => routing.default_owner().cloned(),
        Asked::Groups(groups) => {
            let mut owners = groups.iter().map(|group| routing.coordinator(group).map(|route| routing.server(route)));
            let first = owners.next()??;
            owners.all(|owner| owner == Some(first)).then(|| first.clone())
        }
    }
}

fn asked(head: &[u8]) -> Option<Asked> {
    let key = ApiKey::try_from(RequestHeader::peek(head).ok()?.api_key).ok()?;
    match key {
        ApiKey::DescribeConfigs => groups(head, |request: describe_configs::Request| {
            request.resources.into_iter().map(|one| (one.resource_type, one.resource_name)).collect()
        }),
        ApiKey::AlterConfigs => groups(head, |request: alter_configs::Request| {
            request.resources.into_iter().map(|one| (one.resource_type, one.resource_name)).collect()
        }),
        ApiKey::IncrementalAlterConfigs => groups(head, |request: incremental_alter_configs::Request| {
            request.resources.into_iter().map(|one| (one.resource_type, one.resource_name)).collect()
        }),
        ApiKey::ListConfigResources => {
            let request: list_config_resources::Request = decode(head)?;
            request.resource_types.contains(&GROUP).then_some(Asked::All)
        }
        _ => None,
    }
}

fn groups<R: Request>(head: &[u8], resources: impl FnOnce(R) -> Vec<(i8, String)>) -> Option<Asked> {
    let resources = resources(decode(head)?);
    let is_of_one_broker = resources.iter().any(|(kind, _)| *kind == BROKER);
    let groups: Vec<_> = resources.iter().filter(|(kind, _)| *kind == GROUP).map(|(_, g)| GroupId::new(g)).collect();
    (!groups.is_empty() && !is_of_one_broker).then_some(Asked::Groups(groups))
}

/// The request, if all of it is there.
fn decode<R: Request>(head: &[u8]) -> Option<R> {
    let (header, body) = RequestHeader::decode(Bytes::copy_from_slice(head)).ok()?;
    R::decode_front(body, header.api_version).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::api::describe_configs::TOPIC;

    fn described(resources: &[(i8, &str)]) -> Option<Asked> {
        let resource = |(resource_type, name): &(i8, &str)| describe_configs::Resource {
            resource_type: *resource_type,
            resource_name: (*name).to_owned(),
            ..Default::default()
        };
        let resources = resources.iter().map(resource).collect();
        seen(4, &describe_configs::Request { resources, ..Default::default() })
    }

    fn seen<R: Request>(version: i16, request: &R) -> Option<Asked> {
        let frame = wire::frame::encode_request(1, Some("client"), version, request).unwrap();
        assert_eq!(asked(&frame[4..frame.len() - 1]), None, "it is not all there");
        asked(&frame[4..])
    }

    #[test]
    fn requests_about_groups_are_told_from_others() {
        let groups = |names: &[&str]| Some(Asked::Groups(names.iter().map(GroupId::new).collect()));
        assert_eq!(described(&[(GROUP, "g")]), groups(&["g"]));
        assert_eq!(described(&[(TOPIC, "t"), (GROUP, "g"), (GROUP, "h")]), groups(&["g", "h"]));
        assert_eq!(described(&[(TOPIC, "t")]), None);
        assert_eq!(described(&[(BROKER, "1"), (GROUP, "g")]), None);
        let resource = incremental_alter_configs::Resource {
            resource_type: GROUP,
            resource_name: "g".into(),
            ..Default::default()
        };
        let request = incremental_alter_configs::Request { resources: vec![resource], ..Default::default() };
        assert_eq!(seen(1, &request), groups(&["g"]));
        let list = |types: &[i8]| list_config_resources::Request { resource_types: types.into(), ..Default::default() };
        assert_eq!(seen(1, &list(&[GROUP])), Some(Asked::All));
        assert_eq!(seen(1, &list(&[TOPIC])), None);
    }
}
