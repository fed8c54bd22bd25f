//! Whose word counts about where a request came from.
//!
//! `X-Forwarded-*` is what anyone can write. It decides nothing unless the peer, the other end of the
//! TCP connection, is one of the operator's own proxies.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A chain of proxies is followed for so many addresses at most.
const MAX_HOPS: usize = 32;

/// The proxies in front of the gateway (`server.trusted_proxies`).
pub struct TrustedProxies {
    blocks: Vec<AddressBlock>,
}

/// One address, or a block of them such as `10.0.0.0/8`. IPv6 that stands for IPv4 is IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressBlock(IpNet);

/// Why a text is no [`AddressBlock`]. Each text is the rest of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressBlockError {
    /// Neither an address nor a block.
    #[error("must be an IP address or a block such as \"10.0.0.0/8\" or \"fd00::/8\"")]
    Form,
    /// `10.1.2.3/8`: either the address or the length is a mistake.
    #[error("must begin at its block's first address: \"10.0.0.0/8\" and not \"10.1.2.3/8\"")]
    HostBits,
}

impl TrustedProxies {
    /// Trusts the peers in `blocks`.
    #[must_use]
    pub fn new(blocks: Vec<AddressBlock>) -> Self {
        Self { blocks }
    }

    /// Whether what `peer` forwards counts.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        // Without any, as by default, nothing is looked at.
        !self.blocks.is_empty() && self.contain(peer.to_canonical())
    }

    /// Who the request came from: the peer, or behind trusted proxies the nearest address that is not
    /// one of theirs. Only an address that a trusted proxy wrote counts: each appends the one that it
    /// saw, so they are read from the right, and what is no address ends the reading.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return peer;
        }
        self.hops(peer, headers).last().unwrap_or(peer)
    }

    /// The way that the request came, as far as it is known: [`client`](Self::client) first, the peer
    /// last. What a caller wrote itself is not part of it.
    #[must_use]
    pub fn chain(&self, peer: IpAddr, headers: &HeaderMap) -> Vec<IpAddr> {
        let mut chain: Vec<_> = self.hops(peer.to_canonical(), headers).collect();
        chain.reverse();
        chain
    }

    /// The peer, and each address that the one before it is trusted to have seen.
    fn hops<'a>(&'a self, peer: IpAddr, headers: &'a HeaderMap) -> impl Iterator<Item = IpAddr> {
        let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
        let entries = lines.flat_map(entries_from_the_right).take(MAX_HOPS);
        let before = entries.scan(self.trusts(peer), |is_trusted, entry| {
            let address = is_trusted.then_some(entry)?.and_then(address)?;
            *is_trusted = self.contain(address);
            Some(address)
        });
        std::iter::once(peer).chain(before)
    }

    fn contain(&self, address: IpAddr) -> bool {
        self.blocks.iter().any(|block| block.0.contains(&address))
    }
}

/// The entries of one line, the last first; one `None` for a line that is no text.
fn entries_from_the_right(line: &HeaderValue) -> impl Iterator<Item = Option<&str>> {
    let text = line.to_str().ok();
    let entries = text.into_iter().flat_map(|text| text.rsplit(',').map(Some));
    entries.chain(text.is_none().then_some(None))
}

/// `192.0.2.1` or `2001:db8::1`; with a port too, as some proxies write it.
fn address(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let bare = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let address: IpAddr = entry
        .parse()
        .ok()
        .or_else(bare)
        .or_else(|| entry.parse().ok().map(|socket: SocketAddr| socket.ip()))?;
    Some(address.to_canonical())
}

impl AddressBlock {
    /// Whether it holds so many addresses that it cannot be meant as a list of one's own proxies.
    #[must_use]
    pub fn is_wildcard_like(&self) -> bool {
        match self.0 {
            IpNet::V4(block) => block.prefix_len() < 8,
            // All unique local addresses are one /7.
            IpNet::V6(block) => block.prefix_len() < 7,
        }
    }
}

impl FromStr for AddressBlock {
    type Err = AddressBlockError;

    fn from_str(text: &str) -> Result<Self, AddressBlockError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.to_canonical().into()));
        }
        let block: IpNet = text.parse().map_err(|_| AddressBlockError::Form)?;
        if block.addr() != block.network() {
            return Err(AddressBlockError::HostBits);
        }
        let mapped = match block.addr().to_canonical() {
            IpAddr::V4(address) if block.prefix_len() >= 96 => {
                IpNet::new(address.into(), block.prefix_len() - 96).ok()
            }
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        };
        Ok(Self(mapped.unwrap_or(block)))
    }
}

impl std::fmt::Display for AddressBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            return self.0.addr().fmt(f);
        }
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str) -> AddressBlock {
        text.parse().unwrap()
    }

    fn client(proxies: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let proxies = TrustedProxies::new(proxies.iter().map(|text| block(text)).collect());
        let mut headers = HeaderMap::new();
        for line in forwarded {
            let value = HeaderValue::from_bytes(line.as_bytes()).unwrap();
            headers.append(X_FORWARDED_FOR, value);
        }
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn a_strangers_word_counts_for_nothing() {
        assert_eq!(client(&[], "192.0.2.9", &["1.1.1.1"]), "192.0.2.9");
        assert_eq!(
            client(&["10.0.0.0/8"], "192.0.2.9", &["1.1.1.1"]),
            "192.0.2.9"
        );
        assert_eq!(client(&[], "::ffff:192.0.2.9", &["1.1.1.1"]), "192.0.2.9");
    }

    #[test]
    fn behind_trusted_proxies_the_nearest_stranger_is_the_client() {
        let own = ["10.0.0.0/8", "fd00::/8"];
        let behind = |lines: &[&str]| client(&own, "10.0.0.1", lines);
        assert_eq!(behind(&[]), "10.0.0.1");
        assert_eq!(behind(&["192.0.2.1"]), "192.0.2.1");
        assert_eq!(behind(&["1.1.1.1, 192.0.2.1, 10.0.0.7"]), "192.0.2.1");
        assert_eq!(behind(&["1.1.1.1", "192.0.2.1,fd00::7"]), "192.0.2.1");
        assert_eq!(behind(&["10.0.0.9, 10.0.0.8"]), "10.0.0.9");
        assert_eq!(behind(&["192.0.2.1:4711"]), "192.0.2.1");
        assert_eq!(behind(&["[2001:db8::1]:4711, [fd00::7]"]), "2001:db8::1");
        assert_eq!(behind(&["::ffff:192.0.2.1, ::ffff:10.9.9.9"]), "192.0.2.1");
        assert_eq!(client(&own, "::ffff:10.0.0.1", &["192.0.2.1"]), "192.0.2.1");
    }

    #[test]
    fn what_is_no_address_ends_the_reading() {
        let behind = |lines: &[&str]| client(&["10.0.0.0/8"], "10.0.0.1", lines);
        for hostile in [
            "unknown",
            "",
            "1.1.1",
            "1.1.1.1:99999",
            "_hidden",
            "é",
            "[1.1.1.1",
        ] {
            assert_eq!(behind(&[hostile]), "10.0.0.1", "{hostile:?}");
            let chain = ["1.1.1.1", hostile, "10.0.0.7"];
            assert_eq!(behind(&chain), "10.0.0.7", "{hostile:?}");
            assert_eq!(behind(&[&chain.join(",")]), {
                if hostile == "é" {
                    "10.0.0.1"
                } else {
                    "10.0.0.7"
                }
            });
        }
        let endless = "10.0.0.2,".repeat(100) + "10.0.0.2";
        assert_eq!(behind(&["1.1.1.1", &endless]), "10.0.0.2");
    }

    #[test]
    fn blocks_are_written_as_they_are_meant() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1/32", "192.0.2.1"),
            ("fd00::/8", "fd00::/8"),
            ("::1", "::1"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
        ] {
            assert_eq!(block(text).to_string(), shown);
        }
        for text in [
            "",
            "*",
            "proxy",
            "10.0.0.0/33",
            "10.0.0",
            "10.0.0.0/",
            "010.0.0.1",
            "[::1]",
        ] {
            assert_eq!(
                text.parse::<AddressBlock>(),
                Err(AddressBlockError::Form),
                "{text}"
            );
        }
        let error = "10.1.2.3/8".parse::<AddressBlock>();
        assert_eq!(error, Err(AddressBlockError::HostBits));
        for wide in [
            "0.0.0.0/0",
            "::/0",
            "128.0.0.0/1",
            "2000::/3",
            "::ffff:0.0.0.0/96",
        ] {
            assert!(block(wide).is_wildcard_like(), "{wide}");
        }
        for own in ["10.0.0.0/8", "fc00::/7", "127.0.0.1"] {
            assert!(!block(own).is_wildcard_like(), "{own}");
        }
    }
}
