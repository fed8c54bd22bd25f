//! `usage` and `model` of a JSON answer, read as the answer passes: [`Scan`].
//!
//! Guarantees: any split of the same bytes gives the same; what is kept is bounded; what is not JSON
//! gives nothing. Looked at are the members of the answer itself, and of its `response`, which is where
//! the events of `/v1/responses` have them. Of a name that comes again the last counts.

use std::borrow::Cow;

use memchr::memchr2;

use super::usage_body::UsageBody;
use super::{ModelName, Tokens};

/// A longer value of a member that is looked for is not read, bytes.
const LONGEST_VALUE: usize = 4096;

/// Reads one answer, or one event's data.
#[derive(Default)]
pub(super) struct Scan {
    /// Open objects and arrays.
    depth: usize,
    /// Of the outermost of them, the innermost lowest, whether it is an object. Deeper ones are not asked.
    objects: u8,
    text: Text,
    /// Whether a text would be a name.
    before_name: bool,
    /// Whether a value comes.
    before_value: bool,
    /// The name that is being read.
    name: Kept,
    /// The members that the reader is in, of the outermost object and of the one in it.
    members: [Member; 2],
    /// The value that is being kept: whose it is, and the depth that it began at.
    keeping: Option<(Member, usize)>,
    value: Kept,
    usage: Option<Tokens>,
    model: Option<ModelName>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Text {
    #[default]
    Outside,
    Inside,
    /// After a backslash.
    Escaped,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Member {
    Usage,
    Model,
    Response,
    #[default]
    Other,
}

/// Bytes up to a limit; none once there were more.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    is_too_long: bool,
}

impl Kept {
    fn clear(&mut self) {
        self.bytes.clear();
        self.is_too_long = false;
    }

    fn add(&mut self, more: &[u8], limit: usize) {
        if self.bytes.len() + more.len() > limit {
            self.is_too_long = true;
        } else if !self.is_too_long {
            self.bytes.extend_from_slice(more);
        }
    }

    fn whole(&self) -> &[u8] {
        if self.is_too_long { &[] } else { &self.bytes }
    }
}

impl Scan {
    /// Reads on.
    pub(super) fn read(&mut self, mut data: &[u8]) {
        while let Some((&byte, rest)) = data.split_first() {
            match self.text {
                Text::Inside => {
                    data = self.read_text(data);
                    continue;
                }
                Text::Escaped => {
                    self.text = Text::Inside;
                    self.keep(&[byte]);
                }
                Text::Outside if self.is_over() => {
                    data = self.pass_over(data);
                    continue;
                }
                Text::Outside => self.read_structure(byte),
            }
            data = rest;
        }
    }

    /// What was said.
    pub(super) fn finish(self) -> (Option<Tokens>, Option<ModelName>) {
        (self.usage, self.model)
    }

    /// Within a text: up to its end or to a backslash.
    fn read_text<'d>(&mut self, data: &'d [u8]) -> &'d [u8] {
        let Some(at) = memchr2(b'"', b'\\', data) else {
            self.keep(data);
            return &[];
        };
        let (before, rest) = data.split_at(at);
        self.keep(before);
        let Some((&byte, rest)) = rest.split_first() else {
            return &[];
        };
        if byte == b'\\' {
            self.keep(b"\\");
            self.text = Text::Escaped;
            return rest;
        }
        self.text = Text::Outside;
        self.keep(b"\"");
        if self.before_name {
            self.name_ended();
        } else {
            self.value_may_end();
        }
        rest
    }

    /// Whether the reader is in a value of which no name matters: only its end does.
    fn is_over(&self) -> bool {
        self.depth > self.floor()
    }

    /// How deep names, or the value that is kept, are looked at.
    fn floor(&self) -> usize {
        match (self.keeping, self.members) {
            (Some((_, depth)), _) => depth,
            (None, [Member::Response, _]) => 2,
            (None, _) => 1,
        }
    }

    /// Within such a value: up to its end.
    fn pass_over<'d>(&mut self, data: &'d [u8]) -> &'d [u8] {
        let floor = self.floor();
        (self.before_name, self.before_value) = (false, false);
        let mut at = 0;
        while let Some(byte) = data.get(at) {
            at += 1;
            match byte {
                b'"' => {
                    let rest = data.get(at..).unwrap_or_default();
                    match memchr2(b'"', b'\\', rest) {
                        Some(end) if rest.get(end) == Some(&b'"') => at += end + 1,
                        _ => {
                            self.text = Text::Inside;
                            break;
                        }
                    }
                }
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' if self.depth == floor + 1 => {
                    let (before, rest) = data.split_at(at);
                    self.keep(before.split_last().map_or(before, |(_, before)| before));
                    self.close(*byte);
                    return rest;
                }
                b'}' | b']' => self.depth -= 1,
                _ => {}
            }
        }
        let (over, rest) = data.split_at(at);
        self.keep(over);
        rest
    }

    fn read_structure(&mut self, byte: u8) {
        let ends_scalar = matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace();
        if ends_scalar {
            self.value_may_end();
        } else if self.before_value && byte != b':' {
            self.before_value = false;
            self.value_begins();
        }
        match byte {
            b'"' => {
                self.name.clear();
                self.keep(b"\"");
                self.text = Text::Inside;
                return;
            }
            b'{' | b'[' => self.open(byte == b'{'),
            b'}' | b']' => return self.close(byte),
            b',' => self.before_name = self.is_in_object(),
            b':' => {
                self.before_value = self.is_in_object();
            }
            _ => {}
        }
        self.keep(&[byte]);
    }

    fn is_in_object(&self) -> bool {
        self.depth > 0 && self.objects & 1 == 1
    }

    fn open(&mut self, is_object: bool) {
        self.depth += 1;
        self.objects = self.objects << 1 | u8::from(is_object);
        self.before_name = is_object;
        if let Some(member) = self.members.get_mut(self.depth - 1) {
            *member = Member::Other;
        }
    }

    fn close(&mut self, byte: u8) {
        self.keep(&[byte]);
        self.depth = self.depth.saturating_sub(1);
        self.objects >>= 1;
        self.before_name = false;
        self.value_may_end();
    }

    fn name_ended(&mut self) {
        self.before_name = false;
        let member = match self.name.whole() {
            b"usage" => Member::Usage,
            b"model" => Member::Model,
            b"response" => Member::Response,
            _ => Member::Other,
        };
        if let Some(slot) = self
            .depth
            .checked_sub(1)
            .and_then(|at| self.members.get_mut(at))
        {
            *slot = member;
        }
    }

    /// A member's value begins: one that is looked for is kept.
    fn value_begins(&mut self) {
        if self.keeping.is_some() {
            return;
        }
        let member = match (self.depth, self.members) {
            (1, [member, _]) | (2, [Member::Response, member]) => member,
            _ => Member::Other,
        };
        if matches!(member, Member::Usage | Member::Model) {
            self.keeping = Some((member, self.depth));
            self.value.clear();
        }
    }

    /// Where the value that is kept is at its end, it is read.
    fn value_may_end(&mut self) {
        let Some((member, depth)) = self.keeping else {
            return;
        };
        if self.depth > depth || self.value.bytes.is_empty() && !self.value.is_too_long {
            return;
        }
        self.keeping = None;
        let value = self.value.whole();
        match member {
            Member::Usage => self.usage = UsageBody::tokens(value),
            Member::Model => {
                let name = serde_json::from_slice::<Cow<'_, str>>(value).ok();
                self.model = name.and_then(|name| ModelName::parse(&name));
            }
            Member::Response | Member::Other => {}
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.text != Text::Outside && self.before_name {
            // The longest name that is looked for has 8 bytes.
            self.name.add(bytes, 8);
        }
        if self.keeping.is_some() {
            self.value.add(bytes, LONGEST_VALUE);
        }
    }
}
