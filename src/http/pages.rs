//! What the server shows, and how a path finds its page.
//!
//! Knows no sockets: a router is a function from a request to an answer.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::guard;

/// Every path there is, for whoever has lost the way.
const PATHS: &str = "/ /healthz /readyz /metrics /stats /plan /config";
const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const HOME: &str = include_str!("page.html");
/// The page brings its own script and style and talks to nobody but this server.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                      connect-src 'self'; img-src data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";
const SAME_ORIGIN: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The `content-type` header.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
    /// The HTTP status, 200 to 599; anything else is shown as 500.
    pub status: u16,
}

impl Page {
    /// A page with status 200.
    #[must_use]
    pub const fn ok(content_type: &'static str, body: String) -> Self {
        Self { content_type, body, status: 200 }
    }

    /// A JSON page with status 200.
    #[must_use]
    pub const fn json(body: String) -> Self {
        Self::ok("application/json", body)
    }

    /// A line of plain text that says what is wrong; `status` as for [`Page::status`].
    #[must_use]
    pub fn problem(status: u16, message: &str) -> Self {
        Self { content_type: TEXT, body: format!("{message}\n"), status }
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status)
            .ok()
            .filter(|s| s.as_u16() >= 200 && s.as_u16() < 600)
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(CONTENT_TYPE, self.content_type)], self.body).into_response()
    }
}

/// Makes a page. It may wait some milliseconds for fresh figures; a panic shows as status 500.
pub type PageFn = Box<dyn Fn() -> Page + Send + Sync>;

/// Whether the service takes packets. It is asked between other requests and must not wait.
pub type ReadyFn = Box<dyn Fn() -> bool + Send + Sync>;

/// What the server shows at which path.
pub struct Pages {
    /// `/metrics`
    pub metrics: PageFn,
    /// `/stats`
    pub stats: PageFn,
    /// `/plan`
    pub plan: PageFn,
    /// `/config`
    pub config: PageFn,
    /// `/readyz`: 200 or 503.
    pub ready: ReadyFn,
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").finish_non_exhaustive()
    }
}

/// Joins pages and paths.
pub(super) fn router(pages: Pages) -> Router {
    let Pages { metrics, stats, plan, config, ready } = pages;
    let ready = Arc::new(ready);
    let readiness = move || std::future::ready(readiness(ready()));
    Router::new()
        .route("/", get(|| async { Page::ok(HTML, HOME.to_owned()) }))
        // Both answer at once, so that waiting for figures never makes a live service look dead.
        .route("/healthz", get(|| async { Page::ok(TEXT, "ok\n".to_owned()) }))
        .route("/readyz", get(readiness))
        .route("/metrics", show(metrics))
        .route("/stats", show(stats))
        .route("/plan", show(plan))
        .route("/config", show(config))
        .fallback(|| async { Page::problem(404, &format!("no such page; there are: {PATHS}")) })
        .method_not_allowed_fallback(|| async { Page::problem(405, "only GET and HEAD") })
        .layer(from_fn(check))
}

fn readiness(ready: bool) -> Page {
    if ready { Page::ok(TEXT, "ready\n".to_owned()) } else { Page::problem(503, "not ready") }
}

/// A page that may wait is made on the blocking pool, whose size the server bounds: scrapes then wait for each other, and
/// the thread that answers everything else does not.
fn show(page: PageFn) -> axum::routing::MethodRouter {
    let page: Arc<PageFn> = Arc::new(page);
    get(move || {
        let page = Arc::clone(&page);
        async move {
            tokio::task::spawn_blocking(move || page())
                .await
                .unwrap_or_else(|_| Page::problem(500, "the page could not be made"))
        }
    })
}

async fn check(request: Request, next: Next) -> Response {
    let mut response = if guard::allows(request.uri(), request.headers()) {
        next.run(request).await
    } else {
        let message = "only localhost, 127.0.0.0/8 and [::1] are served; see the Host header";
        Page::problem(403, message).into_response()
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (SAME_ORIGIN, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
