//! Forms of pages. They prove by the page's token that the page was ours.

use super::body;
use super::{Acting, Admin, Changer, Extracted, Person, Prove, User, not_of_others};
use crate::dashboard::auth::{Auth, Caller};
use crate::dashboard::http::cookies;
use crate::dashboard::http::error::HttpError;
use crate::domain::bounds;
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A form that was made by us: its user, its fields, and what the address names.
pub(in crate::dashboard::http) struct Submitted<Fields = NoFields, Sent = ()>(
    pub(in crate::dashboard::http) Acting,
    pub(in crate::dashboard::http) Fields,
    pub(in crate::dashboard::http) Sent,
);

/// A form of which only the button matters.
#[derive(Deserialize)]
pub(in crate::dashboard::http) struct NoFields {}

impl<Fields, Sent> FromRequest for Submitted<Fields, Sent>
where
    Fields: DeserializeOwned + 'static,
    Sent: FromRequest + 'static,
{
    type Error = actix_web::Error;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let submitted = submitted(&request, &mut payload).await;
            let (acting, fields) = submitted.map_err(|error| error.for_request(&request))?;
            let sent = Sent::from_request(&request, &mut payload).await.map_err(Into::into)?;
            let fields = serde_urlencoded::from_str(&fields);
            let fields = fields.map_err(|error| HttpError::complaint("form", &error));
            Ok(Self(acting, fields.map_err(|error| error.for_request(&request))?, sent))
        })
    }
}

/// Who acts, and the fields but the token.
async fn submitted(
    request: &HttpRequest,
    payload: &mut Payload,
) -> Result<(Acting, String), HttpError> {
    let user = User::prove(request).await?;
    let body = body::whole(request, payload, bounds::FORM).await?;
    let fields = serde_urlencoded::from_bytes::<Vec<(String, String)>>(&body);
    let mut fields = fields.map_err(|error| HttpError::complaint("form", &error))?;
    let position = fields.iter().position(|(name, _)| name == "csrf_token");
    let token = position.map(|position| fields.remove(position).1);
    let peer = cookies::peer(user.config(), request).to_string();
    let acting = acting(user, token.as_deref(), peer)?;
    not_of_others(&acting.app, request)?;
    let rest = serde_urlencoded::to_string(fields);
    Ok((acting, rest.map_err(|error| HttpError::complaint("form", &error))?))
}

fn acting(user: User, token: Option<&str>, peer: String) -> Result<Acting, HttpError> {
    let User { reader, token_hash, csrf } = user;
    let caller = Caller::Session { token_hash, csrf: csrf.clone() };
    if !Auth::may_change(&caller, token) {
        return Err(HttpError::csrf());
    }
    let admin = Admin { changer: Changer { reader, caller, peer } };
    Ok(Acting { person: Person { admin }, token_hash, csrf })
}
