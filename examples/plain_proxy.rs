//! A proxy that does nothing but forward: hyper on both sides, one thread. Shows in `benches/gateway` what the gate's
//! stages cost over the same plumbing without them.
//!
//! `plain_proxy 127.0.0.1:PORT 127.0.0.1:UPSTREAM_PORT`

#![expect(clippy::print_stderr, reason = "a command says what went wrong on its terminal")]

use std::error::Error;
use std::io;
use std::process::ExitCode;

use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::{LocalSet, spawn_local};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(upstream)) = (arguments.next(), arguments.next().and_then(|a| a.parse().ok())) else {
        eprintln!("usage: plain_proxy ADDRESS:PORT UPSTREAM:PORT");
        return ExitCode::from(2);
    };
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| LocalSet::new().block_on(&runtime, serve(&address, upstream)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("plain_proxy: {address}: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(address: &str, upstream: Authority) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (client, upstream) = (client.clone(), upstream.clone());
        let service = service_fn(move |request| forward(client.clone(), upstream.clone(), request));
        // A connection that breaks is counted by the load generator.
        spawn_local(async move { http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok() });
    }
}

async fn forward(
    client: Client<HttpConnector, Incoming>,
    upstream: Authority,
    mut request: Request<Incoming>,
) -> Result<Response<Incoming>, Box<dyn Error + Send + Sync>> {
    let mut target = request.uri().clone().into_parts();
    (target.scheme, target.authority) = (Some(Scheme::HTTP), Some(upstream));
    *request.uri_mut() = Uri::from_parts(target)?;
    for name in [HOST, CONNECTION, TRANSFER_ENCODING] {
        request.headers_mut().remove(name);
    }
    let mut response = client.request(request).await?;
    for name in [CONNECTION, TRANSFER_ENCODING] {
        response.headers_mut().remove(name);
    }
    Ok(response)
}
