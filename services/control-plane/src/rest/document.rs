//! The OpenAPI document, made from the router itself.

use super::consistency;
use super::nouns;
use ::api::Problem;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{
    ContentBuilder, Header, HeaderBuilder, OpenApi, PathItem, Ref, RefOr, Required, ResponseBuilder,
};
use utoipa::{OpenApi as _, PartialSchema};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Farshore",
        description = "Disaster recovery for Kafka, region to region. Reads are linearizable unless \
            `?consistency=local` is asked for or there is no quorum; the header `farshore-consistency` says which. \
            Changes take an `Idempotency-Key` and, where a thing has a revision, `If-Match` with its `ETag`. \
            Long work is answered with 202 and `Location`. Every failure is a problem document (RFC 9457).",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "regions", description = "Kafka clusters, one per region."),
        (name = "brokers", description = "The brokers of a region: what they hold, and how they are emptied."),
        (name = "topics", description = "Topics, the same in every region."),
        (name = "consumer groups", description = "Consumer groups and how far they have read."),
        (name = "links", description = "Mirrors from owners to standbys, and their lag."),
        (name = "protection groups", description = "Topics and consumer groups that fail over together."),
        (name = "plans", description = "What would be done, and what it would cost."),
        (name = "runs", description = "Plans being carried out, their events and their reports."),
        (name = "backups", description = "Backups of protection groups in the object store."),
        (name = "restores", description = "Backups written back into new topics."),
        (name = "conflicts", description = "Writes of one key in several regions that knew nothing of each other."),
        (name = "diverged tails", description = "Records that failovers left behind, and writing them again."),
        (name = "schedules", description = "Backups and drills by the clock."),
        (name = "drills", description = "Rehearsals."),
        (name = "health", description = "How the platform is."),
        (name = "probes", description = "For whatever watches this process."),
    ),
    components(schemas(Problem))
)]
struct Frame;

/// The document without its paths.
pub(super) fn frame() -> OpenApi {
    Frame::openapi()
}

/// The OpenAPI document of the REST API as pretty JSON, the same every time.
pub fn openapi() -> String {
    let mut document = nouns().into_openapi();
    for (path, item) in &mut document.paths.paths {
        amend(path, item);
    }
    let mut text = document.to_pretty_json().expect("the document has a JSON form");
    text.push('\n');
    text
}

/// Adds what is so for every operation.
fn amend(path: &str, item: &mut PathItem) {
    let is_noun = path.starts_with("/v1/");
    if let Some(get) = item.get.as_mut().filter(|_| is_noun) {
        get.parameters.get_or_insert_default().push(consistency_parameter().into());
        for response in get.responses.responses.values_mut() {
            if let RefOr::T(response) = response {
                response.headers.insert(consistency::HEADER.to_owned(), consistency_header().into());
            }
        }
    }
    let noun = noun(path).replace('-', "_");
    let all = [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
    for operation in all.into_iter().flatten() {
        refusals(operation);
        // Handlers are called alike in every noun; clients made from the document need names of their own.
        let id = operation.operation_id.take();
        operation.operation_id = if is_noun { id.map(|id| format!("{id}_{noun}")) } else { id };
    }
}

/// What a path is about: brokers are a noun of their own below their region.
fn noun(path: &str) -> &str {
    let path = path.trim_start_matches("/v1/").trim_start_matches("regions/{region}/");
    path.split('/').next().unwrap_or_default()
}

fn consistency_header() -> Header {
    HeaderBuilder::new().schema(Some(String::schema())).description(Some("What was read.")).build()
}

fn refusals(operation: &mut Operation) {
    let schema = Ref::from_schema_name("Problem");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let response = ResponseBuilder::new().description("It was not answered as asked.");
    let response = response.content(::api::PROBLEM_MEDIA_TYPE, content).build();
    operation.responses.responses.insert("default".to_owned(), response.into());
}

fn consistency_parameter() -> Parameter {
    let words = ["linearizable", "local"];
    let schema = ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).enum_values(Some(words)).build();
    ParameterBuilder::new()
        .name("consistency")
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some("`local` reads what the node has, without asking the council."))
        .schema(Some(schema))
        .build()
}
