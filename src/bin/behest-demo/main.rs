//! The demo's command line: one process, one port, and a page to show to a colleague.
//!
//! Exit codes: 0 stopped by Ctrl-C or SIGTERM; 1 it could not start; 2 a wrong command line.

mod auth_js;
mod demo;
mod exchange;
mod pages;
mod sign_in;
mod watched;

use std::convert::Infallible;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use demo::{Demo, StartError};

/// Shows behest-gateway at work: an emulated Behest, the gateway in front of it, and a page that
/// chats through both, in one process on one port.
///
/// Open the printed address, sign in as Ada or Grace, send a message, stop one, change the tier,
/// sign out and send another. The panel beside the chat sets what the browser sent against what
/// Behest received. Nothing leaves this machine, and every key is made anew at each start.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    /// Where to serve; port 0 takes a free one. Whoever can reach it can sign in, so keep it local
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// Folder with openai.js, the bundled SDK that the page loads (`make demo` builds it)
    #[arg(long, value_name = "FOLDER", default_value = "target/demo")]
    assets: PathBuf,
}

/// Browsers need six connections each.
const MAX_CONNECTIONS: usize = 256;
/// For a request's head, and for the pause between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_mins(1);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = runtime
        .map_err(StartError::from)
        .and_then(|runtime| runtime.block_on(run(&arguments)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A closed stderr cannot be told about.
            let _ = writeln!(std::io::stderr(), "behest-demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until a signal comes; streams that are live then end with the process.
async fn run(arguments: &Arguments) -> Result<(), StartError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let demo = Arc::new(Demo::start(&arguments.assets).await?);
    let listener = TcpListener::bind(arguments.listen).await.map_err(|error| {
        let address = arguments.listen;
        format!("{address} cannot be listened on ({error}); choose another with --listen")
    })?;
    let address = listener.local_addr()?;
    writeln!(std::io::stdout(), "Demo: http://{address}")?;
    tokio::select! {
        () = accept(listener, demo) => Ok(()),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

async fn accept(listener: TcpListener, demo: Arc<Demo>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let Ok((socket, peer)) = listener.accept().await else {
            // Out of file descriptors, most likely: closing connections free some.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let demo = Arc::clone(&demo);
        tokio::spawn(async move {
            converse(socket, peer.ip(), demo).await;
            drop(place);
        });
    }
}

async fn converse(socket: TcpStream, peer: IpAddr, demo: Arc<Demo>) {
    // Without it the words of an answer would wait for each other.
    let _ = socket.set_nodelay(true);
    let service = service_fn(move |request| {
        let demo = Arc::clone(&demo);
        async move { Ok::<_, Infallible>(demo.answer(request, peer).await) }
    });
    // A connection that fails is a browser that left.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(socket), service)
        .await;
}
