//! What the gateway answers itself to a user who is signed in.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};

use super::Gateway;
use crate::admission::{ForGateway, Own};
use crate::error::{Code, GatewayError};
use crate::forward::body::ObservedBody;
use crate::forward::headers;
use crate::telemetry::access_log::Record;

impl Gateway {
    /// The gateway's own answer to `request`.
    pub(super) async fn answer_itself(
        &self,
        request: &ForGateway,
        peer: IpAddr,
        record: &mut Record,
    ) -> Result<Response<Bytes>, GatewayError> {
        match request.own() {
            Own::StandIn => self.stand_in(request, peer, record).await,
            Own::Usage => self.own_usage(request, peer, record).await,
        }
    }
}

/// An answer of JSON.
pub(super) fn json(body: Vec<u8>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// The gateway's own good answer.
pub(super) fn answered(
    mut response: Response<Bytes>,
    mut record: Record,
) -> Response<ObservedBody> {
    record.status = response.status().as_u16();
    record.code = Code::Ok;
    headers::finish_response(response.headers_mut(), record.request_id());
    response.map(|body| ObservedBody::own(body, record))
}
