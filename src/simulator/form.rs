//! Forms, taken apart as lax readers do: enough to answer what SDKs send.

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use memchr::memmem;
use serde_json::{Map, Value, json};

/// The form's text fields by name, and of files their size in bytes and their number of lines; `None` for what is no form.
pub(super) fn fields(headers: &HeaderMap, body: &Bytes) -> Option<Value> {
    let media_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let boundary = media_type.strip_prefix("multipart/form-data; boundary=")?.trim_matches('"');
    let mark = format!("--{boundary}\r\n");
    let starts: Vec<usize> = memmem::find_iter(body, &mark).map(|at| at + mark.len()).collect();
    let mut fields = Map::new();
    for start in starts {
        let part = body.get(start..)?;
        let part = part.get(..memmem::find(part, format!("\r\n--{boundary}").as_bytes())?)?;
        let (head, data) = part.split_at_checked(memmem::find(part, b"\r\n\r\n")? + 4)?;
        let head = std::str::from_utf8(head).ok()?;
        let name = head.split("name=\"").nth(1)?.split('"').next()?;
        let value = if head.contains("filename=") {
            json!({"bytes": data.len(), "lines": data.split(|b| *b == b'\n').filter(|line| !line.is_empty()).count()})
        } else {
            match std::str::from_utf8(data).ok()? {
                "true" => json!(true),
                "false" => json!(false),
                text => json!(text),
            }
        };
        fields.insert(name.to_owned(), value);
    }
    Some(Value::Object(fields))
}
