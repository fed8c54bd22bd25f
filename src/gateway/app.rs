//! A request for the app, on its way there and back.

use std::io;
use std::net::IpAddr;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Gateway, Reply, finish, refusal};
use crate::admission::ForApp;
use crate::app::{AppBody, AppBodyError, AppError, Forwarding, Passed, Tunnel, wants_page};
use crate::error::{self, Code, GatewayError};
use crate::forward::body::{Broken, ObservedBody};
use crate::telemetry::access_log::Record;

/// A WebSocket between a page and the app, and the record of the request that opened it.
pub struct AppTunnel {
    tunnel: Tunnel,
    record: Record,
}

impl AppTunnel {
    /// Passes bytes both ways until the end ([`Tunnel::run`]); the record ends with it.
    pub async fn run(self, page: impl AsyncRead + AsyncWrite + Unpin, ahead: &[u8]) {
        let Self { tunnel, mut record } = self;
        let ended = tunnel.run(page, ahead, |bytes| record.passed(bytes)).await;
        if let Err(error) = ended {
            record.reason = Some(told(&error));
        }
        record.end();
    }
}

/// Why a WebSocket broke, without the addresses that some systems put in.
fn told(error: &io::Error) -> String {
    format!("the WebSocket broke: {}", error.kind())
}

impl Gateway {
    /// Passes `request` to the app, and its answer back.
    pub(super) async fn pass_to_app(
        &self,
        request: ForApp,
        peer: IpAddr,
        is_head: bool,
        mut record: Record,
    ) -> Reply {
        let wants_page = wants_page(request.headers());
        let passed = match &self.app {
            Some(app) => {
                let forwarding = self.forwarding(&request, peer, &record);
                app.pass(request, &forwarding).await
            }
            // Admission gives nothing to an app that is not there.
            None => Err(AppError::Target),
        };
        match passed {
            Ok(Passed::Answer(response)) => {
                answered(&mut record, response.status());
                let body = |body: AppBody| body.map_err(|error| broken(&error)).boxed_unsync();
                Reply::Answer(response.map(|app| ObservedBody::passed(body(app), record)))
            }
            Ok(Passed::Tunnel(head, tunnel)) => {
                answered(&mut record, head.status());
                Reply::Tunnel(head, Box::new(AppTunnel { tunnel, record }))
            }
            Err(error) => Reply::Answer(refuse_page(&error.into(), wants_page, is_head, record)),
        }
    }

    fn forwarding(&self, request: &ForApp, peer: IpAddr, record: &Record) -> Forwarding {
        let (headers, proxies) = (request.headers(), &self.trusted_proxies);
        let front = self.fronts.of(request.host(), headers, peer, proxies);
        Forwarding {
            chain: proxies.chain(peer, headers),
            is_https: front.is_https,
            host: front.host.to_owned(),
            request_id: record.request_id().clone(),
        }
    }
}

fn answered(record: &mut Record, status: StatusCode) {
    record.answered();
    record.status = status.as_u16();
    record.code = match record.status {
        ..400 => Code::Ok,
        400..500 => Code::App4xx,
        500.. => Code::App5xx,
    };
}

/// The gateway's own answer where the app has none: for a browser that opens a page, a page.
fn refuse_page(
    error: &GatewayError,
    wants_page: bool,
    is_head: bool,
    mut record: Record,
) -> Response<ObservedBody> {
    let verdict = error.verdict();
    let mut response = refusal(error, &verdict, &mut record);
    if wants_page {
        let page = error::page(&verdict, record.request_id().to_str().unwrap_or_default());
        *response.body_mut() = page.into();
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, html);
    }
    finish(response, is_head, record)
}

/// Why an answer of the app's broke, as its end is counted.
fn broken(error: &AppBodyError) -> Broken {
    match error {
        AppBodyError::Broken(_) => Broken::AppCut,
        AppBodyError::Idle => Broken::AppIdle,
        AppBodyError::Drained => Broken::Drained,
    }
}
