//! The scripts, and how one is called.
//!
//! Guarantees: each runs as a whole or not at all; a server that has never seen a script is sent it with
//! that call.

use std::sync::LazyLock;

use ::redis::aio::ConnectionLike;
use ::redis::{Cmd, ErrorKind, RedisResult, ServerErrorKind, Value};

/// One script and its SHA-1.
pub(super) struct Script {
    source: &'static str,
    hash: String,
}

pub(super) static RESERVE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("account.lua"),
        include_str!("reserve.lua")
    ))
});

pub(super) static APPLY: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("account.lua"),
        include_str!("apply.lua")
    ))
});

pub(super) static PUBLISH: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("publish.lua")));

pub(super) static SINCE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("since.lua")));

pub(super) static ADD: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("sum.lua"), include_str!("add.lua"))));

pub(super) static MOVE: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("sum.lua"), include_str!("move.lua"))));

pub(super) static READ: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("read.lua")));

pub(super) static PROBE: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("probe.lua")));

impl Script {
    /// `source` is Lua.
    pub(super) fn new(source: &'static str) -> Self {
        let hash = ::redis::Script::new(source).get_hash().to_owned();
        Self { source, hash }
    }

    /// Calls it by its hash, and with its source where the server does not know it.
    pub(super) async fn call(
        &self,
        connection: &mut (impl ConnectionLike + Send),
        keys: &[String],
        arguments: &[Vec<u8>],
    ) -> RedisResult<Value> {
        let by_hash = Self::command("EVALSHA", &self.hash, keys, arguments);
        match by_hash.query_async(connection).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                let by_source = Self::command("EVAL", self.source, keys, arguments);
                by_source.query_async(connection).await
            }
            answered => answered,
        }
    }

    fn command(name: &str, script: &str, keys: &[String], arguments: &[Vec<u8>]) -> Cmd {
        let mut command = Cmd::new();
        command.arg(name).arg(script).arg(keys.len());
        for key in keys {
            command.arg(key);
        }
        for argument in arguments {
            command.arg(argument);
        }
        command
    }
}
