//! Asks a gateway on this machine whether it is ready: what `behest-gateway health` does, for images
//! that hold nothing else to ask with.
//!
//! Guarantees: one GET of `/readyz`, without any runtime; it is over within the time that it is given;
//! no more is read of the answer than its status line.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::clock;

/// A status line is shorter.
const LONGEST: usize = 256;

/// Why a gateway is not healthy.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// No address to ask.
    #[error("admin.listen (GATEWAY_ADMIN_LISTEN) is port 0, any free one: name the port")]
    AnyPort,
    /// Nobody answered.
    #[error(
        "{address} does not answer ({fault}): is the gateway running, and is GATEWAY_ADMIN_LISTEN (or \
         --admin-listen) here what it was started with?"
    )]
    Silent {
        /// Who was asked.
        address: SocketAddr,
        /// What the system says.
        fault: io::ErrorKind,
    },
    /// It is draining.
    #[error("the gateway at {0} is shutting down: it takes no new requests")]
    Draining(SocketAddr),
    /// Somebody else's answer.
    #[error(
        "{0} answers, but not as a gateway's admin listener: set GATEWAY_ADMIN_LISTEN (or \
         --admin-listen) to what the gateway was started with"
    )]
    Strange(SocketAddr),
}

/// Asks the gateway whose admin listener was told to listen on `listen`; an unspecified address is
/// asked on loopback.
///
/// # Errors
/// It is not ready, or did not say so within `within`.
pub fn ask(listen: SocketAddr, within: Duration) -> Result<(), Unhealthy> {
    if listen.port() == 0 {
        return Err(Unhealthy::AnyPort);
    }
    let deadline = clock::monotonic() + within;
    let mut outcome = Err(Unhealthy::AnyPort);
    for address in addresses(listen) {
        outcome = ask_at(address, deadline);
        if !matches!(outcome, Err(Unhealthy::Silent { .. })) {
            break;
        }
    }
    outcome
}

/// Where a listener on `listen` is reached from here. Where there is no IPv6 on loopback, as in many
/// containers, `[::]` is reached by IPv4.
fn addresses(listen: SocketAddr) -> Vec<SocketAddr> {
    let loopback: &[IpAddr] = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => &[IpAddr::V4(Ipv4Addr::LOCALHOST)],
        IpAddr::V6(ip) if ip.is_unspecified() => &[
            IpAddr::V6(Ipv6Addr::LOCALHOST),
            IpAddr::V4(Ipv4Addr::LOCALHOST),
        ],
        IpAddr::V4(_) | IpAddr::V6(_) => return vec![listen],
    };
    let at = |ip: &IpAddr| SocketAddr::new(*ip, listen.port());
    loopback.iter().map(at).collect()
}

fn ask_at(address: SocketAddr, deadline: Instant) -> Result<(), Unhealthy> {
    let status = status_line(address, deadline).map_err(|fault| Unhealthy::Silent {
        address,
        fault: fault.kind(),
    })?;
    match status.strip_prefix("HTTP/1.1 ") {
        Some(status) if status.starts_with("200 ") => Ok(()),
        Some(status) if status.starts_with("503 ") => Err(Unhealthy::Draining(address)),
        Some(_) | None => Err(Unhealthy::Strange(address)),
    }
}

/// The first line of the answer, or the beginning of a longer one.
fn status_line(address: SocketAddr, deadline: Instant) -> io::Result<String> {
    let mut socket = TcpStream::connect_timeout(&address, left(deadline)?)?;
    socket.set_write_timeout(Some(left(deadline)?))?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes())?;
    let mut line = Vec::new();
    let mut piece = [0; LONGEST];
    while line.len() < LONGEST && !line.contains(&b'\n') {
        // Each read anew: a peer that sends byte by byte gets no more time.
        socket.set_read_timeout(Some(left(deadline)?))?;
        match socket.read(&mut piece)? {
            0 => break,
            read => line.extend_from_slice(piece.get(..read).unwrap_or_default()),
        }
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(clock::monotonic());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unspecified_address_is_asked_on_loopback_and_no_other() {
        let asked = |listen: &str| {
            let all = addresses(listen.parse().unwrap());
            let all: Vec<_> = all.iter().map(ToString::to_string).collect();
            all.join(" ")
        };
        assert_eq!(asked("0.0.0.0:9090"), "127.0.0.1:9090");
        assert_eq!(asked("[::]:9090"), "[::1]:9090 127.0.0.1:9090");
        assert_eq!(asked("127.0.0.1:9090"), "127.0.0.1:9090");
        assert_eq!(asked("10.1.2.3:9090"), "10.1.2.3:9090");
    }
}
