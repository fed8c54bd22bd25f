//! Where claims stand, and which a session must have.

use crate::config::bounds::any;
use crate::config::fields::{Fields, Key, key};
use crate::config::sources::Origin;
use crate::config::values::Value;
use crate::session::{ClaimPaths, ClaimRules, Requirement};

/// Claim paths that are set, and not left to the kind of session.
#[derive(Clone, Default)]
pub(super) struct Overrides {
    user: Option<Vec<String>>,
    tier: Option<Vec<String>>,
    session: Option<Vec<String>>,
    issued: Option<Vec<String>>,
}

impl Overrides {
    /// `session.*_claim`
    pub(super) fn of_all(fields: &mut Fields) -> Self {
        let default = ClaimPaths::default();
        let mut set = |key, default| {
            let path = fields.read(key, default, |path: &Vec<String>| check_path(path));
            (fields.last_origin() != Origin::Default).then_some(path)
        };
        Self {
            user: set(&USER, default.user),
            tier: set(&TIER, default.tier),
            session: set(&SESSION, default.session),
            issued: set(&ISSUED, default.issued),
        }
    }

    /// These paths, and `default` where there are none.
    pub(super) fn over(&self, default: ClaimPaths) -> ClaimPaths {
        ClaimPaths {
            user: self.user.clone().unwrap_or(default.user),
            tier: self.tier.clone().unwrap_or(default.tier),
            session: self.session.clone().unwrap_or(default.session),
            issued: self.issued.clone().unwrap_or(default.issued),
        }
    }
}

/// What a provider takes from a session; `default` where neither it nor `[session]` says.
pub(super) fn rules(fields: &mut Fields, of_all: &Overrides, default: ClaimPaths) -> ClaimRules {
    let default = of_all.over(default);
    let mut path = |key, default| fields.read(key, default, |path: &Vec<String>| check_path(path));
    let paths = ClaimPaths {
        user: path(&OWN_USER, default.user),
        tier: path(&OWN_TIER, default.tier),
        session: path(&OWN_SESSION, default.session),
        issued: path(&OWN_ISSUED, default.issued),
    };
    let required = fields.optional(&REQUIRED, any).unwrap_or_default();
    let user_prefix = fields.optional(&USER_PREFIX, |prefix: &String| check_prefix(prefix));
    ClaimRules {
        paths,
        user_prefix: user_prefix.unwrap_or_default(),
        required,
    }
}

/// Every key of a provider that this file reads.
pub(super) const KEYS: [&Key; 6] = [
    &OWN_USER,
    &OWN_TIER,
    &OWN_SESSION,
    &OWN_ISSUED,
    &USER_PREFIX,
    &REQUIRED,
];

const USER: Key = key(
    "session.user_claim",
    "Path of the user id, as a list of keys, for every provider without its own; default: by kind, mostly this.",
)
.file_only();
const TIER: Key = key("session.tier_claim", "Path of the tier, likewise.").file_only();
const SESSION: Key = key(
    "session.session_claim",
    "Path of the claim that is stable for one browser session, likewise.",
)
.file_only();
const ISSUED: Key = key(
    "session.issued_claim",
    "Path of the moment at which the session began, for revocation, likewise.",
)
.file_only();
const OWN_USER: Key = key(
    "session.providers[].user_claim",
    "Default: session.user_claim where it is set, else by kind.",
)
.file_only()
.example("[\"sub\"]");
const OWN_TIER: Key = key("session.providers[].tier_claim", "Likewise.")
    .file_only()
    .example("[\"app_metadata\", \"tier\"]");
const OWN_SESSION: Key = key("session.providers[].session_claim", "Likewise.")
    .file_only()
    .example("[\"sid\"]");
const OWN_ISSUED: Key = key("session.providers[].issued_claim", "Likewise.")
    .file_only()
    .example("[\"iat\"]");
const USER_PREFIX: Key = key(
    "session.providers[].user_prefix",
    "Stands before every user id, so that two providers' users are not taken for each other.",
)
.file_only()
.example("\"rails:\"");
const REQUIRED: Key = key(
    "session.providers[].required",
    "A session without one of these values (a list must hold one) is 403 session_not_allowed.",
)
.file_only()
.example("[{ claim = [\"email_verified\"], one_of = [true] }]");

fn check_path(path: &[String]) -> Result<(), String> {
    if path.is_empty() || path.len() > 16 {
        return Err(
            "must be a list of 1 to 16 keys such as [\"app_metadata\", \"tier\"]".to_owned(),
        );
    }
    Ok(())
}

fn check_prefix(prefix: &str) -> Result<(), String> {
    if prefix.len() > 64 {
        return Err("must be at most 64 bytes".to_owned());
    }
    Ok(())
}

impl Value for Requirement {
    fn from_text(_text: &str) -> Result<Self, String> {
        Err(FORM.to_owned())
    }

    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        let table = value.as_table().ok_or(FORM)?;
        let (Some(claim), Some(one_of), 2) = (table.get("claim"), table.get("one_of"), table.len())
        else {
            return Err(FORM.to_owned());
        };
        let claim = Vec::<String>::from_toml(claim).map_err(|fault| format!("claim {fault}"))?;
        check_path(&claim).map_err(|fault| format!("claim {fault}"))?;
        let values = one_of.as_array().filter(|values| !values.is_empty());
        let values = values.and_then(|values| values.iter().map(plain).collect());
        Ok(Self {
            claim,
            one_of: values.ok_or(FORM)?,
        })
    }

    fn to_toml(&self) -> String {
        let values: Vec<_> = self.one_of.iter().map(ToString::to_string).collect();
        let values = values.join(", ");
        format!(
            "{{ claim = {}, one_of = [{values}] }}",
            self.claim.to_toml()
        )
    }
}

const FORM: &str = "must be { claim = [\"email_verified\"], one_of = [true] }: texts, whole numbers, true or false";

/// A text, a whole number or a truth value as JSON has it.
fn plain(value: &toml::Value) -> Option<serde_json::Value> {
    match value {
        toml::Value::String(text) => Some(text.as_str().into()),
        toml::Value::Integer(number) => Some((*number).into()),
        toml::Value::Boolean(flag) => Some((*flag).into()),
        toml::Value::Float(_)
        | toml::Value::Datetime(_)
        | toml::Value::Array(_)
        | toml::Value::Table(_) => None,
    }
}
