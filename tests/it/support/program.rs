//! The real program as a child process: its output, its signals, its exit code.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::waiting::until;
use super::{PATIENCE, sources};

/// What a program that ended left behind.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs the program to its end, with exactly this environment and input. It is killed after
/// [`PATIENCE`].
pub fn run(arguments: &[&str], env: &BTreeMap<String, String>, input: &str) -> Outcome {
    let mut child = command(arguments, env)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A program that reads no input may have closed it.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let out = gather(child.stdout.take().unwrap());
    let err = gather(child.stderr.take().unwrap());
    let status = wait(&mut child);
    Outcome {
        code: status.and_then(|status| status.code()),
        out: out.join().unwrap(),
        err: err.join().unwrap(),
    }
}

/// The environment of a gateway that can start, and `more`, which wins.
pub fn environment(base_url: &str, more: &[(&str, &str)]) -> BTreeMap<String, String> {
    sources(base_url, more).env
}

fn command(arguments: &[&str], env: &BTreeMap<String, String>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_behest-gateway"));
    command.args(arguments);
    prepared(command, env)
}

fn prepared(mut command: Command, env: &BTreeMap<String, String>) -> Command {
    command
        .env_clear()
        .envs(env)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn gather(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut all = String::new();
        from.read_to_string(&mut all).unwrap();
        all
    })
}

/// Its exit; none if it had to be killed.
fn wait(child: &mut Child) -> Option<ExitStatus> {
    let give_up = super::waiting::after(PATIENCE);
    while !super::waiting::is_past(give_up) {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

/// A gateway in a process of its own; killed when dropped.
pub struct Program {
    child: Child,
    output: Arc<Mutex<String>>,
    pub address: SocketAddr,
    pub admin: SocketAddr,
}

impl Program {
    /// Starts it and returns when it serves. `RUST_LOG` must leave `info` to the program itself.
    pub async fn serve(env: &BTreeMap<String, String>) -> Self {
        Self::serve_by(Command::new(env!("CARGO_BIN_EXE_behest-gateway")), env).await
    }

    /// The same, started by a command of the test's own.
    pub async fn serve_by(command: Command, env: &BTreeMap<String, String>) -> Self {
        let mut child = prepared(command, env).stdin(Stdio::null()).spawn().unwrap();
        let output = Arc::new(Mutex::new(String::new()));
        follow(child.stdout.take().unwrap(), &output);
        follow(child.stderr.take().unwrap(), &output);
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut program = Self {
            child,
            output,
            address: unknown,
            admin: unknown,
        };
        until("the program serves", async || {
            program.serving("listen").is_some() || program.child.try_wait().unwrap().is_some()
        })
        .await;
        let address = |name: &str| {
            let found = program.serving(name);
            found.unwrap_or_else(|| panic!("it ended: {}", program.text()))
        };
        (program.address, program.admin) = (address("listen"), address("admin"));
        program
    }

    /// The address that its line "serving" gives under `name`, as JSON or as text.
    fn serving(&self, name: &str) -> Option<SocketAddr> {
        let text = self.text();
        let line = text.lines().find(|line| line.contains("serving"))?;
        let json = format!("\"{name}\":\"");
        let (_, rest) = line
            .split_once(&json)
            .or_else(|| line.split_once(&format!("{name}=")))?;
        rest.split(['"', ' ']).next()?.parse().ok()
    }

    /// The file `name` of its folder in `/proc`.
    pub fn proc(&self, name: &str) -> String {
        std::fs::read_to_string(self.proc_path(name)).unwrap()
    }

    /// Where that is.
    pub fn proc_path(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.child.id())
    }

    /// All that it wrote so far, to both outputs.
    pub fn text(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    /// The JSON lines that it wrote so far.
    pub fn lines(&self) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines();
        lines
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// The lines of the access log so far.
    pub fn accesses(&self) -> Vec<Value> {
        let mut lines = self.lines();
        lines.retain(|line| line["target"] == "access");
        lines
    }

    /// Sends it `TERM`, `HUP`, …
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Its memory in MiB: what it has now, and the most that it ever had.
    pub fn memory(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let mebibytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kibibytes = line.unwrap().trim_end_matches("kB").trim();
            kibibytes.parse::<u64>().unwrap() / 1024
        };
        (mebibytes("VmRSS:"), mebibytes("VmHWM:"))
    }

    /// The value of the one series that is written `series`; zero where there is none.
    pub async fn metric(&self, series: &str) -> f64 {
        let request = super::caller::get(self.admin, "/metrics", "");
        let page = super::caller::ask(self.admin, super::caller::Protocol::Http1, request).await;
        let line = page
            .text()
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits for its end; its exit code.
    pub async fn exit_code(&mut self) -> Option<i32> {
        let mut status = None;
        until("the program ends", async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap().code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn follow(from: impl Read + Send + 'static, into: &Arc<Mutex<String>>) {
    let into = Arc::clone(into);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { return };
            let mut all = into.lock().unwrap();
            all.push_str(&line);
            all.push('\n');
        }
    });
}
