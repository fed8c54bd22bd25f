//! Where the shared store is, and what to do while it does not answer.
//!
//! Guarantees: no error here repeats what it was given, since a password may be in it.

use std::time::Duration;

use ::redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

use crate::secret::Secret;

/// What to do with a limit while the store does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fail {
    /// Count on this replica alone, from nothing, and tell the store what was used when it is back.
    #[default]
    Open,
    /// Refuse, at once.
    Closed,
}

/// How the servers stand together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// One server; of several addresses the first that answers and can be written to.
    #[default]
    Single,
    /// Redis Cluster; the addresses are some of its nodes.
    Cluster,
    /// Redis Sentinel; the addresses are the sentinels'.
    Sentinel {
        /// What the sentinels call the primary, such as `mymaster`.
        name: String,
    },
}

/// One `redis[s]://` URL that can be used; a password may be in it.
#[derive(Clone, Debug)]
pub struct Address(Secret);

/// The shared store. Everything but `addresses` has a default.
#[derive(Clone, Debug, PartialEq)]
pub struct RedisConfig {
    /// From [`parse_urls`]; at least one.
    pub addresses: Vec<Address>,
    /// Default: one server.
    pub mode: Mode,
    /// PEM of those who may sign the servers' certificates, and then nobody else may. Default: none,
    /// which means the built-in public roots.
    pub roots: Vec<Vec<u8>>,
    /// The longest that a request waits for the store. Default: 250 ms.
    pub timeout: Duration,
    /// Of rates. Default: open.
    pub fail_rates: Fail,
    /// Of budgets. Default: open.
    pub fail_budgets: Fail,
    /// Before each key. Default: `behest`.
    pub prefix: String,
    /// For how long a reservation holds when its gateway is gone. Default: 5 min; each gateway renews
    /// those of its running requests at a third of it.
    pub lease: Duration,
    /// In percent of a budget; each is told once a window. Default: 50, 80, 100.
    pub thresholds: Vec<u8>,
}

impl RedisConfig {
    /// The defaults, with these servers.
    #[must_use]
    pub fn new(addresses: Vec<Address>) -> Self {
        Self {
            addresses,
            mode: Mode::Single,
            roots: Vec::new(),
            timeout: Duration::from_millis(250),
            fail_rates: Fail::Open,
            fail_budgets: Fail::Open,
            prefix: "behest".to_owned(),
            lease: Duration::from_mins(5),
            thresholds: vec![50, 80, 100],
        }
    }

    /// Whether all of it can be used together.
    ///
    /// # Errors
    /// What is wrong, and how it would be right.
    pub fn check(&self) -> Result<(), String> {
        if self.addresses.is_empty() {
            return Err("needs a URL: redis://host:6379".to_owned());
        }
        let is_tls = |address: &Address| {
            address
                .text()
                .split_once("://")
                .map(|(scheme, _)| matches!(scheme, "rediss" | "valkeys"))
        };
        let all_tls = self.addresses.iter().all(|it| is_tls(it) == Some(true));
        let any_tls = self.addresses.iter().any(|it| is_tls(it) == Some(true));
        if any_tls && !all_tls {
            return Err("mixes redis:// and rediss://: write all of them the same way".to_owned());
        }
        if !self.roots.is_empty() && !any_tls {
            return Err(
                "is not of TLS, for which store.ca_file is set: write rediss://".to_owned(),
            );
        }
        for pem in &self.roots {
            crate::tls::client_config(std::slice::from_ref(pem)).map_err(|e| e.to_string())?;
        }
        let has_database =
            |it: &Address| it.info().is_ok_and(|info| info.redis_settings().db() != 0);
        if self.mode == Mode::Cluster && self.addresses.iter().any(has_database) {
            return Err("names a database, and a cluster has only 0: leave it out".to_owned());
        }
        if matches!(&self.mode, Mode::Sentinel { name } if name.is_empty()) {
            let text = "is of sentinels: set store.sentinel_name to what they call the primary, such as \
                        \"mymaster\"";
            return Err(text.to_owned());
        }
        Ok(())
    }

    pub(super) fn pem(&self) -> Option<Vec<u8>> {
        (!self.roots.is_empty()).then(|| self.roots.join(&b'\n'))
    }
}

/// Of two configurations, of which a reload takes one over: nobody can ask for it from outside.
impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose() == other.0.expose()
    }
}

impl Address {
    fn text(&self) -> &str {
        std::str::from_utf8(self.0.expose()).unwrap_or_default()
    }

    /// As the client wants it.
    pub(super) fn info(&self) -> ::redis::RedisResult<ConnectionInfo> {
        let info = self.text().into_connection_info()?;
        // Redis 7.0 has no CLIENT SETINFO, and a user with least rights no right to it.
        let settings = info.redis_settings().clone().set_skip_set_lib_name();
        Ok(info.set_redis_settings(settings))
    }

    /// The server of these credentials and this scheme at another address, which a sentinel named.
    pub(super) fn moved_to(&self, host: String, port: u16) -> ::redis::RedisResult<ConnectionInfo> {
        let info = self.info()?;
        let mut address = ConnectionAddr::Tcp(host.clone(), port);
        if let ConnectionAddr::TcpTls {
            insecure,
            tls_params,
            ..
        } = info.addr().clone()
        {
            address = ConnectionAddr::TcpTls {
                host,
                port,
                insecure,
                tls_params,
            };
        }
        Ok(info.set_addr(address))
    }
}

/// Reads `redis[s]://[user:password@]host[:port][/database]`, several of them by commas.
///
/// # Errors
/// What is wrong, and how it would be right; never the text itself.
pub fn parse_urls(text: &str) -> Result<Vec<Address>, String> {
    let all: Result<Vec<_>, _> = text.split(',').map(|url| parse_url(url.trim())).collect();
    all.map_err(|problem| {
        if text.contains(',') {
            return format!("{problem} (several URLs stand by commas; in a password write %2C)");
        }
        problem
    })
}

/// Reads one URL of [`parse_urls`].
///
/// # Errors
/// As there.
pub fn parse_url(text: &str) -> Result<Address, String> {
    const FORM: &str = "redis://[user:password@]host:port/database, or rediss:// for TLS";
    let fault = |what: &str| Err(format!("{what}; write {FORM}"));
    if text.is_empty() {
        return fault("is empty");
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return fault("has no scheme");
    };
    if !["redis", "rediss", "valkey", "valkeys"].contains(&scheme) {
        return fault("has a scheme that is not redis or rediss");
    }
    if rest.contains('#') {
        let text = "has a # in it: in a password write %23; certificates are always checked";
        return Err(text.to_owned());
    }
    if rest.contains('?') {
        return fault("has a ? in it: in a password write %3F; options have keys of their own");
    }
    let (credentials, place) = rest
        .rsplit_once('@')
        .map_or((None, rest), |(it, place)| (Some(it), place));
    if credentials.is_some_and(|it| it.contains(['@', '/'])) {
        return fault("has an @ or a / in its credentials: write %40 or %2F");
    }
    let (host, database) = place.split_once('/').unwrap_or((place, ""));
    if host.is_empty() || host.starts_with(':') {
        return fault("has no host");
    }
    if !database.is_empty() && database.parse::<u16>().is_err() {
        return fault("has a database that is not a number");
    }
    match text.into_connection_info() {
        Ok(_) => Ok(Address(Secret::new(text))),
        Err(_) => fault("cannot be read: look at host, port, and % signs in the password"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_with_its_credentials_and_never_shown() {
        let address = parse_url("rediss://gate:p%40ss@store.internal:6380/3").unwrap();
        let info = address.info().unwrap();
        let settings = info.redis_settings();
        assert_eq!(
            (settings.username(), settings.password()),
            (Some("gate"), Some("p@ss"))
        );
        assert_eq!(settings.db(), 3);
        assert_eq!(info.addr().to_string(), "store.internal:6380");
        assert!(!format!("{:?}", RedisConfig::new(vec![address])).contains("p%40ss"));
        assert_eq!(
            parse_urls("redis://a, redis://b:1 ,redis://[::1]:7")
                .unwrap()
                .len(),
            3
        );
    }

    #[test]
    fn a_bad_url_is_refused_with_the_fix_and_without_its_password() {
        for (url, says) in [
            ("", "is empty"),
            ("localhost:6379", "no scheme"),
            ("http://u:hunter2@h", "scheme that is not"),
            ("redis://u:hunter2@", "no host"),
            ("redis://u:hunter2@:6379", "no host"),
            ("redis://u:hunter2@h:99999", "cannot be read"),
            ("redis://u:hunter2@h/x", "not a number"),
            ("redis://u:hunter2#@h", "%23"),
            ("redis://u:hunter2?@h", "%3F"),
            ("redis://u:hunter2@x@h", "%40"),
            ("rediss://u:hunter2@h/#insecure", "always checked"),
            ("redis://u:hunter2,x@h", "%2C"),
        ] {
            let problem = parse_urls(url).unwrap_err();
            assert!(problem.contains(says), "{url}: {problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let config = |urls: &str| RedisConfig::new(parse_urls(urls).unwrap());
        assert!(config("redis://a").check().is_ok());
        assert!(
            RedisConfig::new(Vec::new())
                .check()
                .unwrap_err()
                .contains("needs a URL")
        );
        assert!(
            config("redis://a,rediss://b")
                .check()
                .unwrap_err()
                .contains("mixes")
        );
        let with = |mode| RedisConfig {
            mode,
            ..config("redis://a/2")
        };
        assert!(with(Mode::Cluster).check().unwrap_err().contains("only 0"));
        let nameless = Mode::Sentinel {
            name: String::new(),
        };
        assert!(with(nameless).check().unwrap_err().contains("mymaster"));
        let rooted = |urls: &str, pem: &[u8]| RedisConfig {
            roots: vec![pem.to_vec()],
            ..config(urls)
        };
        assert!(
            rooted("redis://a", b"x")
                .check()
                .unwrap_err()
                .contains("rediss://")
        );
        assert!(
            rooted("rediss://a", b"x")
                .check()
                .unwrap_err()
                .contains("no certificate")
        );
    }
}
