//! What travels between the control plane and its clients: the REST API's documents and error codes, the routes that
//! gateways follow, and the file that says where a platform listens.
//!
//! The REST documents are plain on purpose: names of things are text, units stand in the names of numbers, times are
//! RFC 3339 in UTC. Fields are only ever added. What a client sends may leave out every field that has a default.

pub mod backups;
pub mod brokers;
pub mod conflicts;
pub mod consumer_groups;
pub mod diverged;
pub mod drills;
pub mod endpoints;
pub mod health;
pub mod links;
mod page;
pub mod plans;
mod problem;
pub mod protection_groups;
pub mod regions;
pub mod restores;
pub mod routes;
pub mod runs;
pub mod schedules;
pub mod topics;

pub use page::{OffsetRange, Page, Paging};
pub use problem::{ErrorCode, Happened, PROBLEM_MEDIA_TYPE, Problem};

#[cfg(test)]
mod tests {
    use super::*;
    use utoipa::OpenApi;

    #[derive(OpenApi)]
    #[openapi(components(schemas(
        Page<regions::Region>,
        Page<brokers::Broker>,
        brokers::DrainBroker,
        Page<topics::Topic>,
        topics::CreateTopic,
        topics::UpdateTopic,
        Page<links::Link>,
        Page<protection_groups::ProtectionGroup>,
        protection_groups::FailoverRequest,
        protection_groups::SwitchoverRequest,
        protection_groups::BlockAutomationRequest,
        protection_groups::UpdateProtectionGroup,
        Page<consumer_groups::ConsumerGroup>,
        plans::CreatePlan,
        runs::PauseRequest,
        Page<plans::Plan>,
        Page<runs::Run>,
        Page<runs::RunEvent>,
        runs::RunReport,
        runs::CancelRequest,
        Page<backups::Backup>,
        backups::CreateBackup,
        Page<restores::Restore>,
        restores::CreateRestore,
        Page<conflicts::Conflict>,
        Page<conflicts::Quarantined>,
        conflicts::Settle,
        conflicts::Settled,
        Page<conflicts::ActivePartition>,
        Page<diverged::Diverged>,
        diverged::Reinject,
        Page<schedules::Schedule>,
        Page<drills::Drill>,
        drills::CreateDrill,
        health::Health,
        Problem,
    )))]
    struct Document;

    #[test]
    fn every_document_has_a_description_of_each_field() {
        let document = serde_json::to_value(Document::openapi()).unwrap();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        assert!(schemas.len() > 60, "{:?}", schemas.keys());
        for (name, schema) in schemas {
            for (field, property) in schema["properties"].as_object().into_iter().flatten() {
                let told = property.to_string().contains("\"description\"") || property.get("$ref").is_some();
                assert!(told, "{name}.{field}: {property}");
            }
        }
    }
}
