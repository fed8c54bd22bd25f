//! A real Redis of the test's own: started, killed, started again on the same port and data.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::PATIENCE;
use super::waiting::{after, is_past};

/// One server; killed when it is dropped.
pub struct Redis {
    child: Option<Child>,
    pub port: u16,
    folder: TempDir,
    program: &'static str,
    options: Vec<String>,
    is_tls: bool,
}

impl Redis {
    /// Without persistence.
    pub fn start() -> Self {
        Self::with(&["--appendonly", "no"])
    }

    pub fn with(options: &[&str]) -> Self {
        Self::program("redis-server", options)
    }

    /// `options` may say {port} and {folder}.
    pub fn program(program: &'static str, options: &[&str]) -> Self {
        Self::prepared(program, options, free_port(), |_| {})
    }

    /// On a port that was found free, with a folder that `prepare` has filled.
    pub fn prepared(
        program: &'static str,
        options: &[&str],
        port: u16,
        prepare: impl FnOnce(&Path),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        let place = folder.path().to_str().unwrap().to_owned();
        let filled = |option: &&str| {
            let option = option.replace("{port}", &port.to_string());
            option.replace("{folder}", &place)
        };
        let mut redis = Self {
            child: None,
            port,
            program,
            is_tls: options.contains(&"--tls-port"),
            options: options.iter().map(filled).collect(),
            folder,
        };
        redis.again();
        redis
    }

    /// Starts it (again), and waits until it answers.
    pub fn again(&mut self) {
        let folder = self.folder.path();
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let mut command = Command::new(self.program);
        if self.program == "redis-sentinel" {
            command.arg(folder.join("sentinel.conf"));
        } else {
            let port = if self.is_tls { 0 } else { self.port };
            command.args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
            ]);
            command.arg("--dir").arg(folder);
        }
        let child = command
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; `make deps` installs it", self.program));
        self.child = Some(child);
        self.await_answer();
    }

    fn await_answer(&self) {
        let give_up = after(PATIENCE);
        loop {
            let is_there = if self.is_tls {
                TcpStream::connect(self.address()).is_ok()
            } else {
                let answer = self.try_ask("PING\r\n").unwrap_or_default();
                answer.starts_with("+PONG") || answer.starts_with("-NOAUTH")
            };
            if is_there {
                return;
            }
            let log = || std::fs::read_to_string(self.folder.path().join("log"));
            assert!(!is_past(give_up), "no answer: {:?}", log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// As the kernel does when memory is short.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What it answers to one line, as it stands on the wire.
    pub fn ask(&self, line: &str) -> String {
        self.try_ask(&format!("{line}\r\n")).unwrap()
    }

    fn try_ask(&self, text: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.address())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(text.as_bytes())?;
        let mut read = vec![0; 65536];
        let length = stream.read(&mut read)?;
        read.truncate(length);
        Ok(String::from_utf8_lossy(&read).into_owned())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Below the range from which the kernel gives ports to connections, one after the other: a port that
/// was found free stays so until the server has it.
pub fn free_port() -> u16 {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let pid = u16::try_from(std::process::id() % 20_000).unwrap();
    for _ in 0..1000 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        // Buses of clusters are 10,000 above.
        let port = 10_500 + (pid.wrapping_mul(7) + step) % 11_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}
