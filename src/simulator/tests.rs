//! The simulator over real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Framing, Orders, Simulator};

async fn started() -> Simulator {
    Simulator::start(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap()
}

fn request(simulator: &Simulator, method: Method, path: &str, body: &Value) -> Request<Full<Bytes>> {
    let uri = format!("{}{path}", simulator.url());
    Request::builder().method(method).uri(uri).body(Full::from(body.to_string())).unwrap()
}

async fn send(request: Request<Full<Bytes>>) -> Response<Incoming> {
    Client::builder(TokioExecutor::new()).build_http().request(request).await.unwrap()
}

async fn post(simulator: &Simulator, path: &str, body: &Value) -> (StatusCode, String) {
    let response = send(request(simulator, Method::POST, path, body)).await;
    let status = response.status();
    (status, String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

fn chat(user: &str) -> Value {
    json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}], "user": user})
}

#[tokio::test]
async fn a_chat_is_answered_and_remembered_byte_for_byte() {
    let simulator = started().await;
    let body = chat("alice");
    let (status, text) = post(&simulator, "/v1/chat/completions", &body).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        answer.pointer("/choices/0/message/content"),
        Some(&json!("This is the simulated answer of gpt-4o-mini."))
    );
    let heard = simulator.heard();
    assert_eq!(heard.len(), 1);
    assert_eq!((heard[0].target.as_str(), &heard[0].body[..]), ("/v1/chat/completions", body.to_string().as_bytes()));
}

#[tokio::test]
async fn a_stream_joins_to_the_plain_answer_and_ends_with_usage_where_asked() {
    let simulator = started().await;
    let mut body = chat("alice");
    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let (_, text) = post(&simulator, "/v1/chat/completions", &body).await;
    let events: Vec<&str> = text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
    let (last, chunks) = events.split_last().unwrap();
    let chunks: Vec<Value> = chunks.iter().map(|c| serde_json::from_str(c).unwrap()).collect();
    let joined: String = chunks.iter().filter_map(|c| c.pointer("/choices/0/delta/content")?.as_str()).collect();
    assert_eq!((*last, joined.as_str()), ("[DONE]", "This is the simulated answer of gpt-4o-mini."));
    assert_eq!(chunks.last().unwrap().pointer("/usage/completion_tokens"), Some(&json!(7)));
}

#[tokio::test]
async fn every_dialect_streams_its_own_first_and_last_event() {
    let simulator = started().await;
    for (path, first, last) in [
        ("/v1/completions", "data: {", "data: [DONE]\n\n"),
        ("/v1/responses", "event: response.created\n", "}\n\n"),
        ("/v2/chat", "event: message-start\n", ",\"type\":\"message-end\"}\n\n"),
        ("/api/chat", "{\"created_at\":", ",\"total_duration\":5000000}\n"),
        ("/api/generate", "{\"created_at\":", ",\"total_duration\":5000000}\n"),
        ("/v1/messages", "event: message_start\n", "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"),
    ] {
        let (status, text) = post(&simulator, path, &json!({"model": "m", "stream": true})).await;
        assert_eq!(status, StatusCode::OK);
        assert!(text.starts_with(first) && text.ends_with(last), "{path}: {text}");
    }
}

#[tokio::test]
async fn without_the_expected_key_nothing_is_answered() {
    let simulator = started().await.expecting_key("sk-right");
    for (path, code) in [("/v1/chat/completions", "/error/code"), ("/v1/messages", "/error/type")] {
        let (status, text) = post(&simulator, path, &chat("alice")).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert!(serde_json::from_str::<Value>(&text).unwrap().pointer(code).unwrap().is_string());
    }
    for (name, value) in [("authorization", "Bearer sk-right"), ("x-api-key", "sk-right")] {
        let mut asked = request(&simulator, Method::POST, "/v1/chat/completions", &chat("alice"));
        asked.headers_mut().insert(name, value.parse().unwrap());
        assert_eq!(send(asked).await.status(), StatusCode::OK);
    }
    assert_eq!(simulator.stats().unauthorized, 2);
}

#[tokio::test]
async fn a_path_that_is_not_served_is_404_and_counted() {
    let simulator = started().await;
    for (method, path) in [(Method::POST, "/v1/uploads"), (Method::GET, "/v1/models"), (Method::PUT, "/v1/messages")] {
        assert_eq!(send(request(&simulator, method, path, &json!({}))).await.status(), StatusCode::NOT_FOUND);
    }
    assert_eq!(simulator.stats().unknown_paths, 3);
}

#[tokio::test]
async fn queued_orders_come_before_the_requests_own_and_those_before_the_standing_ones() {
    let simulator = started().await;
    simulator.fail_next(1, 500);
    simulator.always(Orders { status: Some(502), ..Orders::default() });
    for (user, expected) in
        [("sim:status=429", 500), ("sim:status=429", 429), ("alice", 502), ("sim:", 200), ("sim:odd", 400)]
    {
        let (status, _) = post(&simulator, "/v1/chat/completions", &chat(user)).await;
        assert_eq!(status.as_u16(), expected, "{user}");
    }
}

#[tokio::test]
async fn a_redirect_leads_to_a_path_where_following_it_shows() {
    let simulator = started().await;
    let response = send(request(&simulator, Method::POST, "/v1/chat/completions", &chat("sim:status=307"))).await;
    assert_eq!((response.status().as_u16(), &response.headers()["location"]), (307, &"/v1/elsewhere".parse().unwrap()));
}

#[tokio::test]
async fn a_cut_stream_delivers_its_pieces_and_then_breaks_off() {
    let simulator = started().await;
    for stream in [true, false] {
        let mut body = chat("sim:cut_after=2,chunks=9");
        body["stream"] = json!(stream);
        let mut answer = send(request(&simulator, Method::POST, "/v1/chat/completions", &body)).await.into_body();
        let (mut got, mut broken) = (0, false);
        while let Some(frame) = answer.frame().await {
            match frame {
                Ok(frame) => got += frame.into_data().unwrap().len(),
                Err(_) => broken = true,
            }
        }
        assert!(broken && got > 0, "{got} bytes");
    }
}

#[tokio::test]
async fn every_broken_framing_is_on_the_wire_also_on_a_connection_used_before() {
    let simulator = started().await;
    for (name, framing) in Framing::ALL {
        let mut stream = TcpStream::connect(simulator.addr()).await.unwrap();
        for (user, expected) in [("alice".to_owned(), None), (format!("sim:framing={name}"), Some(framing))] {
            let body = chat(&user).to_string();
            let head =
                format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            let mut got = vec![0; 4096];
            if expected.is_some() {
                got.clear();
                stream.read_to_end(&mut got).await.unwrap();
                let text = String::from_utf8_lossy(&got);
                let expected_start = match framing {
                    Framing::UnaskedUpgrade => "HTTP/1.1 101 ",
                    Framing::Interim => "HTTP/1.1 100 ",
                    Framing::Garbage => "\0",
                    Framing::Silence => "",
                    Framing::BadChunkSize
                    | Framing::LengthAndChunked
                    | Framing::TwoLengths
                    | Framing::TwoAnswers
                    | Framing::ShortBody
                    | Framing::NoLastChunk => "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n",
                };
                assert!(text.starts_with(expected_start), "{name}: {text}");
                assert_eq!(text.is_empty(), *framing == Framing::Silence);
            } else {
                assert!(stream.read(&mut got).await.unwrap() > 0);
            }
        }
    }
}

#[tokio::test]
async fn http2_is_spoken_with_prior_knowledge() {
    let simulator = started().await;
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let asked = request(&simulator, Method::POST, "/v1/chat/completions", &chat("alice"));
    assert_eq!(client.request(asked).await.unwrap().version(), Version::HTTP_2);
    assert_eq!(simulator.heard()[0].version, Version::HTTP_2);
}

#[tokio::test]
async fn a_call_whose_client_leaves_is_no_longer_in_flight() {
    let simulator = started().await;
    let mut body = chat("sim:chunks=1000,pause_ms=20");
    body["stream"] = json!(true);
    let mut answer = send(request(&simulator, Method::POST, "/v1/chat/completions", &body)).await.into_body();
    answer.frame().await.unwrap().unwrap();
    assert_eq!(simulator.stats().in_flight, 1);
    drop(answer);
    let gone = async {
        while simulator.stats().in_flight > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
}

#[tokio::test]
async fn stopping_does_not_wait_for_an_answer_that_is_far_away() {
    let simulator = started().await;
    let asked = request(&simulator, Method::POST, "/v1/chat/completions", &chat("sim:delay_ms=600000"));
    let call = Client::builder(TokioExecutor::new()).build_http().request(asked);
    let stop = async {
        while simulator.stats().in_flight == 0 {
            tokio::task::yield_now().await;
        }
        simulator.stop().await;
    };
    let (answered, ()) = tokio::join!(call, stop);
    answered.unwrap_err();
}

#[tokio::test]
async fn it_is_steered_and_asked_over_http() {
    let simulator = started().await;
    let (status, _) = post(&simulator, "/sim/next", &json!({"times": 2, "orders": "status=503"})).await;
    assert_eq!(status, StatusCode::OK);
    for expected in [503, 503, 200] {
        assert_eq!(post(&simulator, "/v1/chat/completions", &chat("alice")).await.0.as_u16(), expected);
    }
    assert_eq!(post(&simulator, "/sim/always", &json!({"orders": "odd"})).await.0, StatusCode::BAD_REQUEST);
    let heard = send(request(&simulator, Method::GET, "/sim/requests", &json!({}))).await;
    let heard: Value = serde_json::from_slice(&heard.into_body().collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!(heard.as_array().map(Vec::len), Some(3));
    assert_eq!(send(request(&simulator, Method::DELETE, "/sim/requests", &json!({}))).await.status(), StatusCode::OK);
    assert_eq!(simulator.heard().len(), 0);
}

#[tokio::test]
async fn its_debug_output_shows_no_key() {
    let simulator = started().await.expecting_key("sk-right");
    assert!(!format!("{simulator:?}").contains("sk-right"));
}
