//! The command line: arguments, logging, load, run, exit code.
//!
//! Exit codes: 0 done; 1 it could not run, (`inspect`) the cookie is no session, or (`health`) the
//! gateway is not ready; 2 the configuration or the command line does not hold. Of `doctor`: 0 nothing
//! to mend, 1 a warning, 2 an error.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use behest_gateway::clock::{self, Clock, Now};
use behest_gateway::config::{self, Config, ConfigProblems, Loaded, LogFormat, Sources};
use behest_gateway::doctor;
use behest_gateway::generation::{Generation, Process, outbound};
use behest_gateway::health;
use behest_gateway::inspect::inspect;
use behest_gateway::secret;
use behest_gateway::server::{Server, StartError};
use behest_gateway::session::{Front, SessionAuthenticator};
use behest_gateway::telemetry::line_budget::LineBudget;
use behest_gateway::telemetry::{self, logging};
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

/// A reverse proxy in front of Behest's /v1 API: it recognises the user by the session cookie that
/// the app already set, attaches that user's Behest token, and streams the answer back.
///
/// It starts from the environment that the app already has: BEHEST_KEY, BEHEST_BASE_URL and
/// AUTH_SECRET (or NEXTAUTH_SECRET) are enough. Every setting can also stand in a TOML file, or in
/// a variable GATEWAY_SECTION__KEY; `behest-gateway check` shows all of them.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
#[expect(
    clippy::doc_markdown,
    reason = "the text of --help, read without markup"
)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Args)]
#[expect(
    clippy::doc_markdown,
    reason = "the text of --help, read without markup"
)]
struct Settings {
    /// TOML file with settings [env: GATEWAY_CONFIG]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Where to serve the API [env: GATEWAY_LISTEN] [default: 0.0.0.0:8080]
    #[arg(long, value_name = "ADDRESS", global = true)]
    listen: Option<String>,
    /// Where to serve health and metrics [env: GATEWAY_ADMIN_LISTEN] [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDRESS", global = true)]
    admin_listen: Option<String>,
    /// Any other setting, by its key: --set upstream.idle_timeout=10m
    #[arg(long, value_name = "KEY=VALUE", global = true)]
    set: Vec<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve requests: what happens without a subcommand
    Serve,
    /// Load and validate the configuration, print it without secrets, and exit with 0 or 2
    Check(CheckArguments),
    /// Read a Cookie header from standard input and say whose session it is, or why it is none
    ///
    /// It asks whom the gateway would ask: issuers for their keys, and the app. Prints JSON: the
    /// cookies that were looked for and which provider decided, then the session, or the reason.
    Inspect(InspectArguments),
    /// Ask the gateway on this machine whether it is ready, for an image's health check: exit with 0 or 1
    ///
    /// Needs nothing but the address of its admin listener, and takes 2 seconds at most.
    Health,
    /// Look for what is wrong around the gateway, and say how to mend it
    ///
    /// Takes the configuration that the gateway would start with, looks at it and at its key, and asks
    /// Behest whether it is there and whether the clocks agree. The options look at more. Each call
    /// takes 10 seconds at most; secrets, tokens and cookies are never shown.
    ///
    /// Exit code: 0 nothing to mend, 1 the worst is a warning, 2 an error.
    Doctor(DoctorArguments),
}

#[derive(Args)]
struct CheckArguments {
    /// Exit with 2 also if there is only something to be warned of
    #[arg(long)]
    deny_warnings: bool,
}

#[derive(Args)]
struct InspectArguments {
    /// Judge the session's expiry at this time instead of now (seconds since 1970)
    #[arg(long, value_name = "UNIX SECONDS")]
    at: Option<u64>,
}

#[derive(Args)]
#[command(next_help_heading = "What to look at besides")]
struct DoctorArguments {
    /// Mint (or sign) a token as for a user's request, and see whether Behest takes it
    #[arg(long)]
    mint: bool,
    /// The user whom that token is for; needs not exist
    #[arg(
        long,
        value_name = "ID",
        requires = "mint",
        default_value = "behest-gateway-doctor"
    )]
    user: String,
    /// Where browsers find the gateway: look whether what is in front of it lets requests, refusals,
    /// preflights and the app's sign-in through as they are
    #[arg(long, value_name = "ORIGIN")]
    public_url: Option<String>,
    /// Stream an answer through the public URL, and see whether something in front buffers, compresses
    /// or cuts event streams. FILE holds the Cookie header of a signed-in user (- for standard input),
    /// who pays for one short answer
    #[arg(long, value_name = "FILE", requires = "public_url")]
    cookie_file: Option<PathBuf>,
    /// The model to stream [default: the first listed that chats]
    #[arg(long, value_name = "NAME", requires = "cookie_file")]
    model: Option<String>,
    /// Print one JSON object instead of text: findings (check, level, what, fix) and worst
    #[arg(long, help_heading = None)]
    json: bool,
}

fn main() -> ExitCode {
    // Before any secret is read.
    let dumps = secret::forbid_dumps();
    // Before anything could quote it.
    if config::arguments_hold_key() {
        print_error(
            "behest-gateway: a Behest key stands on the command line, which other users of the \
             machine can read: replace that key, and set BEHEST_KEY or BEHEST_KEY_FILE instead",
        );
        return ExitCode::from(2);
    }
    let arguments = Arguments::parse();
    let settings = arguments.settings;
    let outcome = match arguments.command {
        None | Some(Command::Serve) => serve(&settings, dumps),
        Some(Command::Check(arguments)) => check(&settings, &arguments),
        Some(Command::Inspect(arguments)) => inspect_cookie(&settings, &arguments),
        Some(Command::Health) => ask_health(&settings),
        Some(Command::Doctor(arguments)) => examine(&settings, arguments),
    };
    outcome.unwrap_or_else(|failure| {
        print_error(&failure.text);
        ExitCode::from(failure.code)
    })
}

/// Why the process ends, and with which exit code.
struct Failure {
    text: String,
    code: u8,
}

impl Failure {
    fn runtime(error: &(dyn std::error::Error + 'static)) -> Self {
        Self {
            text: format!("behest-gateway: {}", telemetry::chain(error)),
            code: 1,
        }
    }

    fn usage(text: String) -> Self {
        Self { text, code: 2 }
    }
}

impl From<ConfigProblems> for Failure {
    fn from(problems: ConfigProblems) -> Self {
        Self::usage(problems.to_string())
    }
}

impl Settings {
    /// The layers of configuration, the environment as it is now.
    fn sources(&self) -> Result<Sources, Failure> {
        let mut cli = BTreeMap::new();
        for pair in &self.set {
            let (key, value) = pair.split_once('=').ok_or_else(|| {
                // Not quoted: it may be a secret.
                Failure::usage(
                    "--set: write KEY=VALUE, such as upstream.idle_timeout=10m".to_owned(),
                )
            })?;
            cli.insert(key.trim().to_owned(), value.to_owned());
        }
        let named = [
            ("server.listen", &self.listen),
            ("admin.listen", &self.admin_listen),
        ];
        for (key, value) in named {
            if let Some(value) = value {
                cli.insert(key.to_owned(), value.clone());
            }
        }
        Ok(Sources {
            cli,
            env: config::process_environment(),
            file: self.config.clone(),
        })
    }
}

fn serve(settings: &Settings, dumps: std::io::Result<()>) -> Result<ExitCode, Failure> {
    // Beside the rest of the start.
    secret::gather_entropy();
    let sources = settings.sources()?;
    let loaded = Config::load(sources.clone())?;
    let json = loaded.config.telemetry.log_format == LogFormat::Json;
    let filter = sources.env.get("RUST_LOG").map(String::as_str);
    let (lines, _flushed_at_exit) = logging::start(filter, json).map_err(Failure::usage)?;
    if let Err(error) = dumps {
        tracing::warn!(%error, "core dumps, which hold secrets, cannot be forbidden");
    }
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let mut process = Process::new(Clock::system()).map_err(|error| Failure::runtime(&error))?;
    process.log = Some(lines);
    count_panics(&process);
    let reload = Box::new(move || Config::load(sources.clone()));
    let server = Server::start(loaded, process, reload).map_err(|error| Failure {
        code: if matches!(error, StartError::Build(_)) {
            2
        } else {
            1
        },
        ..Failure::runtime(&error)
    })?;
    tracing::info!(
        listen = %server.address(),
        admin = %server.admin_address(),
        version = env!("CARGO_PKG_VERSION"),
        "serving"
    );
    let ended = obey_signals(&server).map_err(|error| Failure::runtime(&error))?;
    if let End::Cut = ended {
        // The server's threads end with the process.
        return Ok(ExitCode::FAILURE);
    }
    server.join();
    Ok(ExitCode::SUCCESS)
}

/// How the server came to its end.
enum End {
    /// It has drained.
    Drained,
    /// A second signal asked for the end at once.
    Cut,
}

/// SIGTERM and SIGINT drain, a second one ends at once; SIGHUP reloads. Returns when the server has
/// ended, or is to be cut.
fn obey_signals(server: &Server) -> std::io::Result<End> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let mut draining = false;
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hang_up.recv() => {
                    server.reload();
                    continue;
                }
                () = tokio::time::sleep(Duration::from_millis(50)), if draining => {
                    if server.is_finished() {
                        return Ok(End::Drained);
                    }
                    continue;
                }
            }
            if draining {
                tracing::warn!("second signal: ending at once");
                return Ok(End::Cut);
            }
            draining = true;
            server.drain();
        }
    })
}

/// Between two lines about panics, steadily: a caller may know how to cause one.
const PANIC_LINE_EVERY: Duration = Duration::from_secs(1);

/// A panic is a bug: logged, counted, and contained in its task by the runtime.
fn count_panics(process: &Process) {
    let metrics = Arc::clone(&process.metrics);
    let lines = LineBudget::default();
    std::panic::set_hook(Box::new(move |panic| {
        metrics.panic();
        if lines.admit(PANIC_LINE_EVERY, clock::monotonic()) {
            let place = panic.location().map(ToString::to_string);
            let left_out = lines.take_left_out();
            tracing::error!(place, left_out, "panic: this is a bug, please report it");
        }
    }));
}

fn check(settings: &Settings, arguments: &CheckArguments) -> Result<ExitCode, Failure> {
    let loaded: Loaded = Config::load(settings.sources()?)?;
    let report = config::report(&loaded);
    let denied = arguments.deny_warnings && !loaded.warnings.is_empty();
    let process = Process::new(Clock::system()).map_err(|error| Failure::runtime(&error))?;
    Generation::build(loaded.config.for_rehearsal(), &process, None)
        .map_err(|error| Failure::usage(format!("behest-gateway: {}", telemetry::chain(&error))))?;
    print(&report);
    Ok(ExitCode::from(if denied { 2 } else { 0 }))
}

fn inspect_cookie(settings: &Settings, arguments: &InspectArguments) -> Result<ExitCode, Failure> {
    let loaded = Config::load_session(settings.sources()?)?;
    let mut header = String::new();
    std::io::stdin()
        .take(1024 * 1024)
        .read_to_string(&mut header)
        .map_err(|error| Failure::runtime(&error))?;
    let now = arguments.at.map_or_else(
        || Clock::system().now(),
        |at| Now {
            unix: Duration::from_secs(at),
            elapsed: Duration::ZERO,
        },
    );
    let outbound = outbound(&loaded.outbound).map_err(|error| Failure::runtime(&error))?;
    let authenticator = SessionAuthenticator::new(&loaded.session, &outbound)
        .map_err(|error| Failure::runtime(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::runtime(&error))?;
    let front = loaded.public_origins.first();
    let front = front.and_then(|origin| Front::of_origin(origin));
    let found = inspect(&authenticator, &header, front.unwrap_or_default(), now);
    let (found, ok) = runtime.block_on(found);
    print(&format!("{found:#}\n"));
    Ok(ExitCode::from(u8::from(!ok)))
}

fn ask_health(settings: &Settings) -> Result<ExitCode, Failure> {
    let unhealthy = |text: String| Failure {
        text: format!("behest-gateway: {text}"),
        code: 1,
    };
    let address = Config::load_admin_address(settings.sources()?).map_err(unhealthy)?;
    health::ask(address, Duration::from_secs(2)).map_err(|error| unhealthy(error.to_string()))?;
    Ok(ExitCode::SUCCESS)
}

fn examine(settings: &Settings, arguments: DoctorArguments) -> Result<ExitCode, Failure> {
    let options = doctor::Options {
        mint_for: arguments.mint.then_some(arguments.user),
        public_url: arguments.public_url,
        cookie_file: arguments.cookie_file,
        model: arguments.model,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::runtime(&error))?;
    let sources = settings.sources()?;
    let report = runtime.block_on(doctor::examine(sources, &options, &Clock::system()));
    print(&if arguments.json {
        report.json()
    } else {
        report.text()
    });
    Ok(ExitCode::from(report.worst().exit_code()))
}

/// To standard output; a reader that has gone is no error of ours.
fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

fn print_error(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
