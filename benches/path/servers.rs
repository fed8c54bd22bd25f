//! What is measured: servers with one worker thread each.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use behest_gateway::client::{Client, ClientConfig, Connector, SendBody, enter_worker};
use behest_gateway::clock::Clock;
use behest_gateway::config::{Config, Sources};
use behest_gateway::generation::Process;
use behest_gateway::server::Server;
use behest_gateway::telemetry::logging::LineQueue;
use http::header::HOST;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::load::SECRET;
use crate::{Error, runtime};

/// Where a server listens, and the name of its thread.
pub(crate) type Subject = (SocketAddr, &'static str);

/// All seven limits of a user, none of them reached.
pub(crate) const LIMITS: [(&str, &str); 7] = [
    (
        "GATEWAY_BUDGETS__DEFAULT__REQUESTS_PER_MINUTE",
        "1000000000",
    ),
    (
        "GATEWAY_BUDGETS__DEFAULT__CONCURRENT_REQUESTS",
        "1000000000",
    ),
    ("GATEWAY_BUDGETS__DEFAULT__REQUESTS_PER_DAY", "1000000000"),
    ("GATEWAY_BUDGETS__DEFAULT__TOKENS_PER_DAY", "1000000000000"),
    (
        "GATEWAY_BUDGETS__DEFAULT__TOKENS_PER_MONTH",
        "1000000000000",
    ),
    ("GATEWAY_BUDGETS__DEFAULT__USD_PER_DAY", "1000000"),
    ("GATEWAY_BUDGETS__DEFAULT__USD_PER_MONTH", "1000000"),
];

/// A proxy that only forwards.
pub(crate) fn bare(upstream: SocketAddr) -> Result<Subject, Error> {
    let tls = behest_gateway::tls::client_config(&[])?;
    let origin = format!("http://{upstream}").parse()?;
    let connector = Connector::new(&origin, &tls, &Matcher::builder().build())?;
    let minute = Duration::from_mins(1);
    let client = Client::new(
        connector,
        ClientConfig {
            connect_timeout: minute,
            first_byte_timeout: minute,
            pool_idle_timeout: minute,
            pool_max_age: minute * 60,
            workers: 1,
        },
    );
    let listener = listener()?;
    let address = listener.local_addr()?;
    let client = Arc::new(client);
    serve("bare", listener, move |socket| {
        let client = Arc::clone(&client);
        async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let client = Arc::clone(&client);
                async move { Ok::<_, Infallible>(forward(&client, request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(hyper_util::rt::TokioTimer::new())
                .serve_connection(TokioIo::new(socket), service);
            let _ = connection.await;
        }
    })?;
    Ok((address, "bare"))
}

async fn forward(
    client: &Client,
    request: Request<Incoming>,
) -> Response<behest_gateway::client::ResponseBody> {
    let (mut head, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    head.headers.insert(HOST, client.host().clone());
    let request = Request::from_parts(head, SendBody::Held(Full::new(body)));
    match client.send(request).await {
        Ok(response) => response,
        Err(error) => panic!("{error}"),
    }
}

/// The gateway with one worker, whose thread is renamed to `thread`, and `more` in its environment.
pub(crate) fn gateway(
    upstream: SocketAddr,
    log: Option<LineQueue>,
    more: &[(&str, &str)],
    thread: &'static str,
) -> Result<Subject, Error> {
    let key = behest_gateway::emulator::SigningKey::generate()?.to_behest_key()?;
    let upstream = format!("http://{upstream}");
    let base = [
        ("BEHEST_KEY", key.as_str()),
        ("BEHEST_KID", "bench"),
        ("BEHEST_TENANT_ID", "tenant"),
        ("BEHEST_PROJECT_ID", "project"),
        ("BEHEST_BASE_URL", upstream.as_str()),
        ("GATEWAY_APP_URL", upstream.as_str()),
        ("AUTH_SECRET", SECRET),
        ("GATEWAY_LISTEN", "127.0.0.1:0"),
        ("GATEWAY_ADMIN_LISTEN", "127.0.0.1:0"),
        ("GATEWAY_WORKERS", "1"),
    ];
    let env = base.iter().chain(more);
    let env: BTreeMap<String, String> = env
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let sources = Sources {
        env,
        ..Sources::default()
    };
    let loaded = Config::load(sources.clone()).map_err(|problems| problems.to_string())?;
    let mut process = Process::new(Clock::system())?;
    process.log = log;
    let reload = Box::new(move || Config::load(sources.clone()));
    let server = Server::start(loaded, process, reload)?;
    let address = server.address();
    // Servers of one process name their workers alike; this one's is told apart by a new name.
    rename("worker-0", thread)?;
    std::mem::forget(server);
    enter_worker(0);
    Ok((address, thread))
}

/// Renames a thread of this process, which may only just be starting.
fn rename(from: &str, to: &str) -> Result<(), Error> {
    for _ in 0..100 {
        for task in std::fs::read_dir("/proc/self/task")? {
            let comm = task?.path().join("comm");
            if std::fs::read_to_string(&comm)?.trim() == from {
                std::fs::write(comm, to)?;
                return Ok(());
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(format!("no thread {from}").into())
}

pub(crate) fn listener() -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves each connection on the one thread called `name`.
pub(crate) fn serve<F>(
    name: &str,
    listener: TcpListener,
    each: impl Fn(TcpStream) -> F + Send + 'static,
) -> Result<(), Error>
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = runtime()?;
    let serving = async move {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
            return;
        };
        while let Ok((socket, _)) = listener.accept().await {
            let _ = socket.set_nodelay(true);
            tokio::spawn(each(socket));
        }
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || runtime.block_on(serving))?;
    Ok(())
}
