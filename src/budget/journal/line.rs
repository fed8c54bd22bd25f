//! One line of a journal: a checksum, an entry, a newline.
//!
//! Guarantees: a line that was cut or changed is not taken for one.

/// How many bytes stand before an entry: eight hexadecimal digits and a space.
const HEAD: usize = 9;

/// Lines that are written by one call, so that none of another thread comes between.
#[derive(Debug, Default)]
pub struct Lines(Vec<u8>);

impl Lines {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        // Most of what is written is one user's counters.
        Self(Vec::with_capacity(256))
    }

    /// Adds the entry that `write` appends; it must not contain a newline.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let head = self.0.len();
        self.0.extend_from_slice(b"00000000 ");
        write(&mut self.0);
        let (_, line) = self.0.split_at_mut(head);
        let Some((head, entry)) = line.split_at_mut_checked(HEAD) else {
            return;
        };
        debug_assert!(!entry.contains(&b'\n'), "an entry is one line");
        let sum = crc32fast::hash(entry);
        for (place, shift) in head.iter_mut().zip((0..8).rev()) {
            *place = hex_digit(u64::from(sum >> (shift * 4)));
        }
        self.0.push(b'\n');
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All lines, as they go to the file.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes all lines out.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// Appends `number` in hexadecimal digits, without leading zeros.
pub fn push_hex(to: &mut Vec<u8>, number: u64) {
    let digits = (64 - number.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        to.push(hex_digit(number >> (place * 4)));
    }
}

/// The entry of a line without its newline; `None` where the checksum is another.
#[must_use]
pub fn entry(line: &[u8]) -> Option<&[u8]> {
    let (head, entry) = line.split_at_checked(HEAD)?;
    let (sum, space) = head.split_at_checked(8)?;
    let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok()?;
    (space == b" " && sum == crc32fast::hash(entry)).then_some(entry)
}

fn hex_digit(number: u64) -> u8 {
    let digit = (number & 15) as u8;
    if digit < 10 {
        b'0' + digit
    } else {
        b'a' + digit - 10
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_from_its_line_and_not_from_a_changed_one() {
        let mut lines = Lines::new();
        lines.push(|line| line.extend_from_slice(b"u 1 2"));
        let text = lines.as_bytes().strip_suffix(b"\n").unwrap();
        assert_eq!(entry(text), Some(&b"u 1 2"[..]));
        for at in 0..text.len() {
            let mut changed = text.to_vec();
            changed[at] ^= 1;
            assert_eq!(entry(&changed), None, "byte {at}");
            assert_eq!(entry(&text[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn numbers_are_written_as_the_standard_library_writes_them() {
        for number in [0, 1, 15, 16, 0xabc, u64::MAX - 1, u64::MAX] {
            let mut text = Vec::new();
            push_hex(&mut text, number);
            assert_eq!(text, format!("{number:x}").into_bytes());
        }
    }
}
