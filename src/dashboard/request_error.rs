//! Why a request of a user was not carried out: the words that page and API share.

use crate::dashboard::store::StoreError;
use crate::domain::refusal::Refusal;

/// Why a request about a host was not carried out. All of it may be shown to users.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    /// 404
    #[error("there is no host `{0}`")]
    NoSuchHost(String),
    /// 404
    #[error("there is no command `{0}`")]
    NoSuchCommand(String),
    /// 409, with the refusal's code.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// 400: the field, and what was expected.
    #[error("`{field}`: {expected}")]
    Invalid {
        /// The field of the request.
        field: &'static str,
        /// What was expected.
        expected: String,
    },
    /// 503: SQLite or an actor did not answer. A text of ours: what the cause says is for the
    /// log alone.
    #[error("{0}")]
    Unavailable(&'static str),
}

impl RequestError {
    /// What is said when SQLite cannot be used.
    pub(crate) const DATABASE: &str = "The database cannot be used now; nothing was changed. \
                                The dashboard's log says why.";
}

impl From<StoreError> for RequestError {
    fn from(error: StoreError) -> Self {
        log::error!("the database cannot be used: {error}");
        Self::Unavailable(Self::DATABASE)
    }
}
