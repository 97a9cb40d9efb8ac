//! AlterClientQuotas: limits of users, client ids and addresses become part of the region's metadata.

use super::{Call, Started};
use crate::Broker;
use broker_core::metadata::Command;
use broker_core::quota::{Change, Entity, Limit};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use wire::ErrorCode;
use wire::api::alter_client_quotas::{Entity as Part, EntityResponse, Entry, EntryResponse, Request, Response};

/// Why nothing was changed.
type Refusal = (ErrorCode, String);

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let broker = broker.clone();
    Ok(call.reply_later(async move {
        let mut judged = judge(&request.entries);
        if !request.validate_only {
            alter(&broker, &mut judged).await;
        }
        let entries = request.entries.into_iter().zip(judged).map(|(entry, judged)| response(entry, judged));
        Some(Response { entries: entries.collect(), ..Default::default() })
    }))
}

/// What each entry means; an entity may be there once.
fn judge(entries: &[Entry]) -> Vec<Result<Change, Refusal>> {
    let mut seen = BTreeSet::new();
    let judge = |entry: &Entry| {
        let change = change(entry)?;
        match seen.insert(change.entity.clone()) {
            true => Ok(change),
            false => Err(invalid(format!("{} is there more than once in the request", change.entity))),
        }
    };
    entries.iter().map(judge).collect()
}

fn change(entry: &Entry) -> Result<Change, Refusal> {
    let parts = entry.entity.iter().map(|part| (part.entity_type.as_str(), part.entity_name.as_deref()));
    let entity = Entity::of(parts).map_err(|error| invalid(error.to_string()))?;
    let mut limits = BTreeMap::new();
    for op in &entry.ops {
        let limit = Limit::named(&op.key, &entity).map_err(|error| invalid(error.to_string()))?;
        let rate = match op.remove {
            true => None,
            false => Some(limit.rate(op.value.0).map_err(|error| invalid(error.to_string()))?),
        };
        if limits.insert(limit, rate).is_some() {
            return Err(invalid(format!("{} is there more than once for {entity}", limit.name())));
        }
    }
    Ok(Change { entity, limits })
}

/// Makes every change that is sound, all of them or none.
async fn alter(broker: &Broker, judged: &mut [Result<Change, Refusal>]) {
    let changes: Vec<_> = judged.iter().filter_map(|judged| judged.as_ref().ok().cloned()).collect();
    if changes.is_empty() {
        return;
    }
    let altered = match broker.0.control.get() {
        Some(control) => {
            control.change(vec![Command::AlterQuotas { changes }]).await.map_err(|error| error.to_string())
        }
        None => Err("this broker keeps no metadata, so it has no quotas".to_owned()),
    };
    if let Err(message) = altered {
        let refused = judged.iter_mut().filter(|judged| judged.is_ok());
        refused.for_each(|judged| *judged = Err((ErrorCode::REQUEST_TIMED_OUT, message.clone())));
    }
}

fn response(entry: Entry, judged: Result<Change, Refusal>) -> EntryResponse {
    let part =
        |Part { entity_type, entity_name, .. }: Part| EntityResponse { entity_type, entity_name, ..Default::default() };
    let (error_code, error_message) = match judged {
        Ok(_) => (ErrorCode::NONE, None),
        Err((code, message)) => (code, Some(message)),
    };
    let entity = entry.entity.into_iter().map(part).collect();
    EntryResponse { error_code, error_message, entity, ..Default::default() }
}

fn invalid(message: String) -> Refusal {
    (ErrorCode::INVALID_REQUEST, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker_core::quota::Rate;
    use wire::api::alter_client_quotas::Op;
    use wire::codec::Double;

    fn entry(ops: &[(&str, f64, bool)]) -> Entry {
        let part = Part { entity_type: "client-id".into(), entity_name: Some("app".into()), ..Default::default() };
        let op = |(key, value, remove): &(&str, f64, bool)| Op {
            key: (*key).to_owned(),
            value: Double(*value),
            remove: *remove,
            ..Default::default()
        };
        Entry { entity: vec![part], ops: ops.iter().map(op).collect(), ..Default::default() }
    }

    #[test]
    fn an_entry_sets_and_removes_limits() {
        let ops = [("producer_byte_rate", 5.0, false), ("request_percentage", 0.0, true)];
        let change = change(&entry(&ops)).unwrap();
        let rates: Vec<_> = change.limits.into_values().map(|rate| rate.map(Rate::value)).collect();
        assert_eq!(rates, [Some(5.0), None]);
    }

    #[test]
    fn what_cannot_be_is_refused_entry_by_entry() {
        let twice = ("producer_byte_rate", 5.0, false);
        let entries = [
            entry(&[("producer_byte_rate", 5.0, false)]),
            entry(&[("consumer_byte_rate", 5.0, false)]),
            entry(&[("no_such_rate", 5.0, false)]),
            entry(&[("producer_byte_rate", 0.5, false)]),
            entry(&[twice, twice]),
            entry(&[("connection_creation_rate", 5.0, false)]),
        ];
        let judged: Vec<_> = judge(&entries).into_iter().map(|judged| judged.is_ok()).collect();
        assert_eq!(judged, [true, false, false, false, false, false]);
    }
}
