//! ListGroups: the groups this region coordinates.

use super::{Call, Started};
use crate::Broker;
use crate::groups::NotHere;
use broker_core::group::Listing;
use bytes::Bytes;
use model::GroupId;
use std::collections::BTreeMap;
use wire::ErrorCode;
use wire::api::list_groups::{Group, Request, Response};

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let is_shown = |filter: &[String], value: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(value))
    };
    let response = match listed(broker) {
        Ok(listed) => {
            let groups = listed.into_iter().filter(|group| {
                is_shown(&request.states_filter, &group.group_state)
                    && is_shown(&request.types_filter, &group.group_type)
            });
            Response { groups: groups.collect(), ..Default::default() }
        }
        Err(error_code) => Response { error_code, ..Default::default() },
    };
    Ok(call.reply(&response))
}

/// Those with members, or with traces of some, and those that only committed offsets.
fn listed(broker: &Broker) -> Result<Vec<Group>, ErrorCode> {
    if broker.is_loading_groups() {
        return Err(NotHere::Loading.code());
    }
    let (listings, committed) = broker.list_groups();
    let mut groups: BTreeMap<GroupId, Group> =
        committed.into_iter().map(|name| (name.clone(), group(Listing::without_members(name)))).collect();
    groups.extend(listings.into_iter().map(|listing| (listing.group.clone(), group(listing))));
    let mut shown = Vec::with_capacity(groups.len());
    for (name, group) in groups {
        if broker.enter_group(&name).is_ok() {
            shown.push(group);
        }
    }
    Ok(shown)
}

fn group(listing: Listing) -> Group {
    Group {
        group_id: listing.group.to_string(),
        protocol_type: listing.protocol_type,
        group_state: listing.state.to_owned(),
        group_type: listing.protocol.to_owned(),
        ..Default::default()
    }
}
