//! The Behest emulator as a program: listens, says how to point an app at it, and answers.
//!
//! Standard output carries one block of `export` lines and nothing else, so that it can be
//! evaluated by a shell; problems go to standard error with exit code 2.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use behest_gateway::emulator::{
    Emulator, EmulatorConfig, FIXTURE_KEY, FIXTURE_PROJECT, FIXTURE_TENANT, MintShape, SigningKey,
    TierLimits, TlsPem, TrustedKey,
};
use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

const CONTROL: &str = "\
Control over HTTP, for tests in any language:
  POST   /__emulator/faults    add a fault, or a list of them
  GET    /__emulator/faults    show those still to act
  DELETE /__emulator/faults    forget them
  GET    /__emulator/requests  show what was received (credentials left out)
  GET    /__emulator/stats     show counts, mints by user, violations of the contract
  POST   /__emulator/reset     forget faults, record, threads, usage and limits

A fault: {\"on\": \"any|mint|data|/a/path\", \"times\": 1, \"every\": 1, \"action\": {\"kind\": …}}
Only action is required; \"times\": null means for ever. Kinds and their members:
  delay ms            status code headers body   headers headers     garbage
  truncated_json      close                      reset               cut_after frames reset
  stall_before_head   stall_after frames         reject_token        wrong_user user_id
  expired_token       slow_drip bytes ms         huge_answer bytes   redirect to
  no_length           raw text

For example, to make the next chat stream break after three events:
  curl -d '{\"on\":\"/v1/chat/completions\",\"action\":{\"kind\":\"cut_after\",\"frames\":3}}' \\
    http://127.0.0.1:8787/__emulator/faults

A model's name sets the pace of its stream: emulator-fast, emulator-slow, emulator-long.";

/// An imitation of the Behest API for development and tests: no account, no model, no network.
#[derive(Parser)]
#[command(name = "behest-emulator", after_help = CONTROL)]
struct Arguments {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8787")]
    listen: SocketAddr,
    /// An API key that may mint; may be given more than once
    #[arg(long = "key", value_name = "KEY", default_value = FIXTURE_KEY)]
    keys: Vec<String>,
    /// The tenant to play
    #[arg(long, value_name = "ID", default_value = FIXTURE_TENANT)]
    tenant_id: String,
    /// The project to play
    #[arg(long, value_name = "ID", default_value = FIXTURE_PROJECT)]
    project_id: String,
    /// The pause between two events of a stream
    #[arg(long, value_name = "TIME", default_value = "30ms", value_parser = humantime::parse_duration)]
    frame_delay: Duration,
    /// The shape of a mint's answer
    #[arg(long, value_enum, default_value = "jwt")]
    mint_shape: Shape,
    /// The longest life that a token gets, whatever was asked for
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    ttl_cap: Option<Duration>,
    /// A limit, such as free=20rpm or pro=60rpm,100000tok; may be given more than once
    #[arg(long = "tier", value_name = "TIER=LIMITS", value_parser = parse_tier)]
    tiers: Vec<(String, TierLimits)>,
    /// Print settings for local signing instead of an API key
    #[arg(long)]
    local_signing: bool,
    /// Sign tokens with this RSA private key PEM; a fresh key otherwise
    #[arg(long, value_name = "FILE", requires = "kid")]
    signing_key_file: Option<PathBuf>,
    /// The kid of that key
    #[arg(long, value_name = "KID", requires = "signing_key_file")]
    kid: Option<String>,
    /// Believe tokens of this public key PEM too; may be given more than once
    #[arg(long = "trust", value_name = "KID=FILE", value_parser = parse_trust)]
    trusted: Vec<(String, PathBuf)>,
    /// Serve HTTPS with this certificate chain PEM
    #[arg(long, value_name = "FILE", requires = "tls_key_file")]
    tls_cert_file: Option<PathBuf>,
    /// The certificate's key PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    tls_key_file: Option<PathBuf>,
    /// Do not serve /__emulator/
    #[arg(long)]
    no_control: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shape {
    #[value(help = "{jwt, project_id, ttl, session_id}")]
    Jwt,
    #[value(help = "{access_token, token_type, project_id, expires_in}")]
    AccessToken,
    #[value(help = "{token, ttl, sessionId, expiresAt}")]
    Sdk,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without a standard error there is nobody to tell.
            let _ = writeln!(io::stderr(), "behest-emulator: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: Arguments) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let local_signing = arguments.local_signing;
        let key = arguments.keys.first().cloned().unwrap_or_default();
        let (tenant, project) = (arguments.tenant_id.clone(), arguments.project_id.clone());
        let emulator = Emulator::start(config(arguments)?).await?;
        let mut lines = vec![("BEHEST_BASE_URL", emulator.base_url())];
        if local_signing {
            let signing = emulator.signing_key();
            lines.push(("BEHEST_KEY", signing.to_behest_key()?));
            lines.push(("BEHEST_KID", signing.kid().to_owned()));
            lines.push(("BEHEST_TENANT_ID", tenant));
            lines.push(("BEHEST_PROJECT_ID", project));
        } else {
            lines.push(("BEHEST_KEY", key));
        }
        announce(&emulator, &lines)?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted?,
            _ = terminate.recv() => {}
        }
        emulator.shutdown().await;
        Ok(())
    })
}

fn announce(emulator: &Emulator, lines: &[(&str, String)]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "# The Behest emulator answers on {}",
        emulator.base_url()
    )?;
    for (name, value) in lines {
        writeln!(out, "export {name}='{}'", value.replace('\'', r"'\''"))?;
    }
    out.flush()
}

fn config(arguments: Arguments) -> io::Result<EmulatorConfig> {
    let mut config = EmulatorConfig {
        listen: arguments.listen,
        api_keys: arguments.keys,
        tenant_id: arguments.tenant_id,
        project_id: arguments.project_id,
        frame_delay: arguments.frame_delay,
        tiers: arguments.tiers.into_iter().collect::<BTreeMap<_, _>>(),
        control: !arguments.no_control,
        mint_shape: match arguments.mint_shape {
            Shape::Jwt => MintShape::Jwt,
            Shape::AccessToken => MintShape::AccessToken,
            Shape::Sdk => MintShape::Sdk,
        },
        ..EmulatorConfig::default()
    };
    config.ttl.cap = arguments.ttl_cap.map(|cap| cap.as_secs());
    if let (Some(file), Some(kid)) = (&arguments.signing_key_file, &arguments.kid) {
        config.signing_key = Some(SigningKey::from_pem(kid, &read(file)?)?);
    }
    for (kid, file) in &arguments.trusted {
        config
            .trusted_keys
            .push(TrustedKey::from_pem(kid, &read(file)?)?);
    }
    if let (Some(certificates), Some(key)) = (&arguments.tls_cert_file, &arguments.tls_key_file) {
        config.tls = Some(TlsPem {
            certificates: read(certificates)?,
            key: read(key)?,
        });
    }
    Ok(config)
}

/// The file as text; an error names the file.
fn read(file: &PathBuf) -> io::Result<String> {
    std::fs::read_to_string(file)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))
}

/// `free=20rpm,5000tok`.
fn parse_tier(text: &str) -> Result<(String, TierLimits), String> {
    let (name, parts) = text
        .split_once('=')
        .ok_or("write TIER=LIMITS, such as free=20rpm")?;
    let mut limits = TierLimits::default();
    for part in parts.split(',') {
        let number = |unit| part.strip_suffix(unit).and_then(|n: &str| n.parse().ok());
        if let Some(requests) = number("rpm") {
            limits.requests_per_minute = Some(requests);
        } else if let Some(tokens) = number("tok") {
            limits.tokens = Some(tokens);
        } else {
            return Err(format!(
                "'{part}' is neither requests a minute (20rpm) nor tokens (5000tok)"
            ));
        }
    }
    Ok((name.to_owned(), limits))
}

/// `kid=file`.
fn parse_trust(text: &str) -> Result<(String, PathBuf), String> {
    let (kid, file) = text
        .split_once('=')
        .ok_or("write KID=FILE, the file a public key PEM")?;
    Ok((kid.to_owned(), PathBuf::from(file)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn tier_limits_are_words() {
        let (name, limits) = parse_tier("free=20rpm,5000tok").unwrap();
        assert_eq!(name, "free");
        assert_eq!(limits.requests_per_minute, Some(20));
        assert_eq!(limits.tokens, Some(5000));
        for wrong in ["free", "free=", "free=20", "free=xrpm", "free=-1tok"] {
            assert!(parse_tier(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_flag_reaches_the_configuration() {
        let line = "x --listen 127.0.0.1:0 --key a --key b --frame-delay 5ms --ttl-cap 2m \
                    --mint-shape sdk --tier 2=9rpm --no-control";
        let config = config(Arguments::parse_from(line.split_whitespace())).unwrap();
        assert_eq!(config.api_keys, ["a", "b"]);
        assert_eq!(config.frame_delay, Duration::from_millis(5));
        assert_eq!(config.ttl.cap, Some(120));
        assert_eq!(config.mint_shape, MintShape::Sdk);
        assert_eq!(config.tiers["2"].requests_per_minute, Some(9));
        assert!(!config.control);
    }
}
