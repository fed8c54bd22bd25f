//! A value that must never be seen: not in a log, an error, a dump of the configuration or of the
//! process, or memory that was given back.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};
use zeroize::Zeroizing;

/// A secret's bytes. It can be read by the code that needs it, and by nothing that prints.
///
/// No `Display`, no `Serialize`, no `PartialEq`; `Debug` shows only that there is one. Wiped on drop.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes over `bytes`.
    #[must_use]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The secret itself: only for cryptography and for the header that carries it.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// From now on this process leaves no core dump, and on Linux no other process of the same user can
/// read its memory or its environment (`/proc/PID/mem`, `/proc/PID/environ`, debuggers): both hold
/// secrets.
///
/// # Errors
/// The system refuses.
pub fn forbid_dumps() -> io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    // The limit does not count where the kernel pipes dumps to a program (core(5)); this does.
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Has the random generator gather its entropy, on a thread of its own: its first use in a process takes
/// some 40 ms (aws-lc 1.19 seeds itself from the CPU's jitter), for which the first request would wait.
pub fn gather_entropy() {
    // Without a thread, or without randomness, the first use finds out for itself.
    let _ = std::thread::Builder::new()
        .name("entropy".to_owned())
        .spawn(|| aws_lc_rs::rand::fill(&mut [0]));
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}
