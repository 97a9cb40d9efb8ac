//! The REST API: one file per noun, its document from the same source as its router.
//!
//! ```text
//!   request -> limits, timeout -> consistency (GET) -> handler: arguments, one call, convert
//!                                                        |
//!                    catalog reader <- reads ------------+---- changes -> council, recovery, works
//! ```
//!
//! Reads are linearizable: the node first makes sure that it has applied everything decided before. Without a quorum, or
//! with `?consistency=local`, it answers from what it has, and says so in a header. Every failure is a problem document.
//! What is asked of a region (statuses, links, consumer groups) is asked of its own node; a region that does not answer
//! is shown as such and fails nothing.

mod asked;
mod backups;
mod brokers;
mod conflicts;
mod consistency;
mod consumer_groups;
mod diverged;
mod document;
mod drills;
mod events;
mod gather;
mod health;
mod links;
mod origin;
mod plans;
mod probes;
mod protection_groups;
mod refused;
mod regions;
mod restores;
mod runs;
mod schedules;
mod server;
mod shapes;
mod telemetry;
mod topics;

pub use document::openapi;
pub use server::Server;
pub use telemetry::{Measured, NoTelemetry, Telemetry};

use crate::automation::Automation;
use crate::council::{Council, CouncilError};
use crate::execute::Recovery;
use crate::observe::Observatory;
use crate::ports::Ports;
use crate::topics::Topics;
use crate::work::Works;
use ::api::ErrorCode;
use asked::Conditions;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH};
use axum::http::{HeaderValue, Method, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use catalog::{Answer, Change, Command, Reader, View};
use refused::{Answered, Refused};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerUi};

/// The largest body of a request.
const BODY_BYTES_MAX: usize = 1 << 20;
/// How long a request may take. The front door waits a little longer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(14);
/// Who asks, as long as nobody has to say who he is.
const BY: &str = "api";

/// What handlers work with. Clones are the same.
#[derive(Clone)]
pub struct Api(Arc<Node>);

struct Node {
    council: Council,
    observatory: Observatory,
    recovery: Recovery,
    works: Works,
    topics: Topics,
    ports: Ports,
    telemetry: Arc<dyn Telemetry>,
}

impl Api {
    /// The API of a node.
    pub fn new(council: &Council, automation: &Automation, ports: &Ports, telemetry: Arc<dyn Telemetry>) -> Self {
        Self(Arc::new(Node {
            council: council.clone(),
            observatory: automation.observatory().clone(),
            recovery: automation.recovery().clone(),
            works: automation.works().clone(),
            topics: Topics::new(council.clone(), BY),
            ports: ports.clone(),
            telemetry,
        }))
    }

    fn council(&self) -> &Council {
        &self.0.council
    }

    fn recovery(&self) -> &Recovery {
        &self.0.recovery
    }

    fn works(&self) -> &Works {
        &self.0.works
    }

    fn reader(&self) -> &Reader {
        self.0.council.reader()
    }

    fn view(&self) -> Arc<View> {
        self.0.council.view()
    }

    fn now(&self) -> model::Timestamp {
        self.0.ports.clock.now()
    }

    fn new_topic_id(&self) -> model::TopicId {
        let random = uuid::Builder::from_random_bytes(self.0.ports.entropy.next_u128().to_be_bytes());
        model::TopicId(random.into_uuid())
    }

    /// Has the council decide, under the request's key if it has one.
    async fn decide(&self, change: impl Into<Change>, conditions: &Conditions) -> Result<Answer, CouncilError> {
        let command = Command::new(self.now(), BY, change);
        let command = match &conditions.key {
            Some(key) => command.with_request(key),
            None => command,
        };
        self.council().submit(command).await
    }
}

/// The nouns and their document.
fn nouns() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(document::frame())
        .merge(regions::routes())
        .merge(brokers::routes())
        .merge(topics::routes())
        .merge(consumer_groups::routes())
        .merge(links::routes())
        .merge(protection_groups::routes())
        .merge(plans::routes())
        .merge(runs::routes())
        .merge(backups::routes())
        .merge(restores::routes())
        .merge(conflicts::routes())
        .merge(diverged::routes())
        .merge(schedules::routes())
        .merge(drills::routes())
        .merge(health::routes())
        .routes(routes!(probes::healthz))
        .routes(routes!(probes::readyz))
        .routes(routes!(probes::metrics))
}

/// Everything a node answers.
pub fn router(api: Api) -> Router {
    let (nouns, _) = nouns().split_for_parts();
    let document = openapi();
    let swagger = SwaggerUi::new("/swagger-ui").config(Config::from("/openapi.json").try_it_out_enabled(true));
    nouns
        .layer(from_fn_with_state(api.clone(), consistency::settle))
        .route("/openapi.json", get(move || std::future::ready(document_response(document.clone()))))
        .route("/", get(crate::console::page))
        .merge(swagger)
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(origin::check))
        .layer(from_fn(guard))
        .with_state(api)
}

fn document_response(document: String) -> Response {
    ([("content-type", "application/json")], document).into_response()
}

/// Gives up on what takes too long, and names the path in problem documents.
async fn guard(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = match timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Refused::new(ErrorCode::Timeout, format!("no answer within {REQUEST_TIMEOUT:?}")).into_response(),
    };
    if let Some(refused) = response.extensions_mut().remove::<Refused>() {
        tracing::debug!(path, problem = %refused.0, "a request was not answered as asked");
        *response.body_mut() = refused.at(&path).into_response().into_body();
        // The body has grown by the path.
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn no_such_path(method: Method, uri: Uri) -> Refused {
    let what = format!("nothing answers {method} {}; /swagger-ui shows what there is", uri.path());
    Refused::new(ErrorCode::NotFound, what)
}

async fn no_such_method(method: Method, uri: Uri) -> Refused {
    let what = format!("{} cannot be asked for with {method}; /swagger-ui shows what there is", uri.path());
    Refused::new(ErrorCode::MethodNotAllowed, what)
}

/// What a handler of a change of `T` answers when the council answered something else.
fn unexpected<T>(answer: &Answer) -> Answered<T> {
    Err(Refused::new(ErrorCode::Internal, format!("the council answered {answer:?}")))
}
