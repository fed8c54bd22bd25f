//! Bytes that are changed at random, and whether what came back is HTTP.

use super::frames::{DATA, END_STREAM, GOAWAY, HEADERS, RST_STREAM};

/// Numbers that look random and can be had again: splitmix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// Bytes on which parsers disagree.
const BYTES: &[u8] = b"\r\n\0 \t:;,=%/\\._-0f\"\x7f\x80\xff";

/// Changes one to four places of `bytes`; `words` are what is put in besides single bytes.
pub fn mutate(bytes: &mut Vec<u8>, words: &[&[u8]], random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = (at + 1 + random.below(12)).min(bytes.len());
        let byte = BYTES[random.below(BYTES.len())];
        match random.below(9) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = byte,
            2 => bytes.insert(at, byte),
            3 => drop(bytes.drain(at.min(end)..end)),
            4 => {
                let again = bytes[at.min(end)..end].to_vec();
                bytes.splice(at..at, again);
            }
            5 if random.below(8) == 0 => bytes.truncate(at),
            6 => drop(bytes.splice(at..at, random.pick(words).iter().copied())),
            _ => {
                let at = line_start(bytes, at);
                bytes.splice(at..at, random.pick(words).iter().copied());
            }
        }
    }
}

/// Where the line begins that `at` is in.
fn line_start(bytes: &[u8], at: usize) -> usize {
    let before = &bytes[..at];
    let newline = before.iter().rposition(|byte| *byte == b'\n');
    newline.map_or(0, |newline| newline + 1)
}

/// Whether `bytes` are whole HTTP/1 answers and nothing else.
///
/// Which of them answer a HEAD is not known: an answer may do without the body that it announces,
/// where the bytes then make sense.
pub fn is_http1(bytes: &[u8]) -> bool {
    if bytes.is_empty() {
        return true;
    }
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        return false;
    };
    let (head, rest) = (&bytes[..end], &bytes[end + 4..]);
    let Some(head) = Head::parse(head) else {
        return false;
    };
    head.is_interim && is_http1(rest)
        || head.body(rest).is_some_and(is_http1)
        || head.length.is_some() && is_http1(rest)
}

struct Head {
    is_interim: bool,
    /// Its body may end with the connection.
    is_http10: bool,
    is_chunked: bool,
    length: Option<usize>,
}

impl Head {
    fn parse(head: &[u8]) -> Option<Self> {
        let mut lines = std::str::from_utf8(head).ok()?.split("\r\n");
        let (version, status) = lines.next()?.split_once(' ')?;
        let is_http10 = version == "HTTP/1.0";
        if !is_http10 && version != "HTTP/1.1" {
            return None;
        }
        let status: u16 = status.get(..3)?.parse().ok()?;
        let mut parsed = Self {
            is_interim: (100..200).contains(&status),
            is_http10,
            is_chunked: false,
            length: matches!(status, 204 | 304).then_some(0),
        };
        for line in lines {
            let (name, value) = line.split_once(": ")?;
            let is_token = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            if name.is_empty() || !name.bytes().all(is_token) {
                return None;
            }
            match name {
                "transfer-encoding" => parsed.is_chunked = value == "chunked",
                "content-length" if parsed.length.is_some() => return None,
                "content-length" => parsed.length = Some(value.parse().ok()?),
                _ => {}
            }
        }
        (!parsed.is_chunked || parsed.length.is_none()).then_some(parsed)
    }

    /// What follows the answer's body.
    fn body<'a>(&self, mut rest: &'a [u8]) -> Option<&'a [u8]> {
        if !self.is_chunked {
            let to_the_end = self.is_http10.then_some(rest.len());
            return rest.get(self.length.or(to_the_end)?..);
        }
        loop {
            let end = find(rest, b"\r\n")?;
            let size = std::str::from_utf8(&rest[..end]).ok()?;
            let size = usize::from_str_radix(size, 16).ok()?;
            rest = rest.get(end + 2 + size..)?.strip_prefix(b"\r\n")?;
            if size == 0 {
                return Some(rest);
            }
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|part| part == wanted)
}

/// What an HTTP/2 peer said: whether these are whole frames, and how many streams it has ended.
pub fn read_http2(mut bytes: &[u8]) -> (bool, usize) {
    const LARGEST: usize = 16 * 1024;
    let mut ended = 0;
    while let Some((head, rest)) = bytes.split_first_chunk::<9>() {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (kind, flags) = (head[3], head[4]);
        if kind == RST_STREAM || matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            ended += 1;
        } else if kind == GOAWAY {
            ended = usize::MAX / 2;
        }
        let Some(rest) = rest.get(length..).filter(|_| length <= LARGEST) else {
            return (false, ended);
        };
        bytes = rest;
    }
    (bytes.is_empty(), ended)
}
