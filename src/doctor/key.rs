//! What `BEHEST_KEY` is: the mode that it selects, and whether it has the form of that mode.
//!
//! Guarantees: nothing of a key is shown but its prefix and its size.

use super::finding::Finding;
use crate::token::{self, KeyMode, MintConfig, Signer};

const CHECK: &str = "key";
const FIX: &str = "copy the key whole from Behest's dashboard into BEHEST_KEY";

/// Judges the key and the names beside it. A configuration that holds has a key of good form.
pub(super) fn look(mint: &MintConfig) -> Finding {
    match token::key_mode(&mint.key) {
        Ok(KeyMode::Exchange) => exchange(mint),
        Ok(KeyMode::Sign) => match Signer::new(mint) {
            Ok(signer) => sign(mint, &signer),
            Err(error) => Finding::error(CHECK, error.to_string(), FIX),
        },
        Err(error) => Finding::error(CHECK, error.to_string(), FIX),
    }
}

fn exchange(mint: &MintConfig) -> Finding {
    let ignored: Vec<_> = [
        ("BEHEST_KID", mint.kid.is_some()),
        ("mint.pem", mint.pem.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, is_set)| is_set.then_some(name))
    .collect();
    let what = "behest_sk_: Behest mints each token, one call for each";
    if ignored.is_empty() {
        return Finding::ok(CHECK, what);
    }
    Finding::warning(
        CHECK,
        format!(
            "{what}; {} is for local signing and is ignored",
            ignored.join(" and ")
        ),
        "give a behest_pk_ key if tokens are to be signed here, else unset what is ignored",
    )
}

fn sign(mint: &MintConfig, signer: &Signer) -> Finding {
    let place = if mint.pem.is_some() {
        "in mint.pem"
    } else {
        "in BEHEST_KEY"
    };
    let bits = signer.key_bits();
    let name = |name: &Option<String>| name.as_deref().unwrap_or_default().to_owned();
    Finding::ok(
        CHECK,
        format!(
            "behest_pk_: tokens are signed here with the RSA key of {bits} bits {place}, as kid {}, tenant \
             {}, project {}",
            name(&mint.kid),
            name(&mint.tenant_id),
            name(&mint.project_id)
        ),
    )
}
