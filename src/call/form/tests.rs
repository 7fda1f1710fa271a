//! The form reader against forms that SDKs write, forms that slip past other readers, and another reader.

use proptest::prelude::*;

use super::{Boundary, read};

fn parts(boundary: &str, body: &str) -> Option<Vec<(String, bool, String)>> {
    let boundary = Boundary::of(&format!("multipart/form-data; boundary={boundary}"))?;
    let parts = read(&boundary, body.as_bytes()).ok()?;
    let data = |part: &super::Part<'_>| body[part.data.clone()].to_owned();
    Some(parts.iter().map(|part| (part.name.to_owned(), part.filename.is_some(), data(part))).collect())
}

fn field(name: &str, data: &str) -> String {
    format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{data}\r\n")
}

#[test]
fn forms_as_sdks_write_them_are_read() {
    let model = field("model", "m");
    for (end, file) in [
        (
            "--x--\r\n",
            "Content-Disposition: form-data; name=\"file\"; filename=\"a b\u{e9}%22.mp3\"\r\nContent-Type: audio/mpeg",
        ),
        (
            "--x--",
            "Content-Disposition: form-data; name=\"file\"; filename=\"a;b.mp3\"\r\nContent-Type: application/octet-stream",
        ),
        (
            "--x--\r\n",
            "content-disposition: FORM-DATA; name=\"file\"; filename=\"blob\"\r\ncontent-length: 5\r\ncontent-type: text/plain; charset=utf-8",
        ),
        ("--x--\r\n", "Content-Type: application/jsonl\r\nContent-Disposition:form-data;name=\"file\";filename=\"-\""),
    ] {
        let body = format!("{model}--x\r\n{file}\r\n\r\na\n-x\r\r\n{end}");
        let expected = [("model".to_owned(), false, "m".to_owned()), ("file".to_owned(), true, "a\n-x\r".to_owned())];
        assert_eq!(parts("x", &body).as_deref(), Some(&expected[..]), "{body}");
    }
    assert_eq!(parts("x", &format!("{}--x--", field("a", ""))), Some(vec![("a".into(), false, String::new())]));
    let typed = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\nContent-Type: text/plain;charset=UTF-8\r\n\r\nb\r\n--x--\r\n";
    assert!(parts("x", typed).is_some());
}

#[test]
fn forms_that_two_readers_take_apart_differently_are_not() {
    let good = field("model", "m");
    let part = |head: &str, data: &str| format!("{good}--x\r\n{head}\r\n\r\n{data}\r\n--x--\r\n");
    let mut bad = vec![
        String::new(),
        "--x--\r\n".to_owned(),
        good.clone(),
        format!("\r\n{good}--x--\r\n"),
        format!("preamble\r\n{good}--x--\r\n"),
        format!("{good}--x--\r\n\r\n"),
        format!("{good}--x--\r\n{good}--x--\r\n"),
        format!("{good}--x--epilogue"),
        format!("{good}--x--\n"),
        format!("{good}--x --\r\n"),
        format!("{good}--x\n--x--\r\n"),
        format!("{good}--x \r\n{}", good.trim_start_matches("--x\r\n")),
        good.replace("\r\n", "\n") + "--x--\n",
        good.replace("\r\n\r\n", "\n\n") + "--x--\r\n",
        good.replace("\r\n\r\n", "\r\n\n") + "--x--\r\n",
        format!("{}--x--\r\n", field("model", "m\r\n--xy")),
        format!("{}--x--\r\n", field("model", "m\n--x\ny")),
        format!("{}--x--\r\n", field("model", "--x")),
        format!("{}--x--\r\n", field("model", "a--xb")),
    ];
    for head in [
        "",
        "X: y",
        "Content-Type: text/plain",
        "Content-Disposition: form-data",
        "Content-Disposition: form-data; name=",
        "Content-Disposition: form-data; name=a",
        "Content-Disposition: form-data; name='a'",
        "Content-Disposition: form-data; name=\"\"",
        "Content-Disposition: form-data; name=\"a\\\"b\"",
        "Content-Disposition: form-data; name=\"a b\"",
        "Content-Disposition: form-data; name=\"a\"; name=\"b\"",
        "Content-Disposition: form-data; name=\"a\"; name*=utf-8''b",
        "Content-Disposition: form-data; name*=utf-8''b",
        "Content-Disposition: form-data; name*0=\"a\"; name*1=\"b\"",
        "Content-Disposition: form-data; name=\"a\"; filename*=utf-8''b",
        "Content-Disposition: form-data; name=\"a\"; filename=\"b\"; filename*=utf-8''c",
        "Content-Disposition: form-data; name=\"a\"; filename=\"b\"; filename=\"c\"",
        "Content-Disposition: form-data; name=\"a\"; filename=\"b\"; x=\"c\"",
        "Content-Disposition: form-data; name=\"a\"; filename=\"b; name=model\"",
        "Content-Disposition: form-data; name=\"a\"; filename=\"\"",
        "Content-Disposition: form-data; filename=\"b\"; name=\"a\"",
        "Content-Disposition: attachment; name=\"a\"",
        "Content-Disposition: form-data name=\"a\"",
        "Content-Disposition: form-data; name=\"a\" x",
        "Content-Disposition : form-data; name=\"a\"",
        " Content-Disposition: form-data; name=\"a\"",
        "Content-Disposition: form-data;\r\n name=\"a\"",
        "Content-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"b\"",
        "Content-Disposition: form-data; name=\"a\"\r\nContent-Type: text/plain\r\nContent-Type: text/plain",
        "Content-Disposition: form-data; name=\"a\"\r\nContent-Transfer-Encoding: base64",
        "Content-Disposition: form-data; name=\"a\"\r\nContent-Encoding: gzip",
        "Content-Disposition: form-data; name=\"a\"\r\nContent-Length: 9",
        "Content-Disposition: form-data; name=\"a\"\r\nContent-Type: application/octet-stream",
        "Content-Disposition: form-data; name=\"a\"\r\nContent-Type: text/plain; charset=utf-16",
        "Content-Disposition: form-data; name=\"a\"; filename=\"b\"\r\nContent-Type: multipart/mixed; boundary=y",
        "Content-Disposition: form-data; name=\"a\"; filename=\"b\"\r\nContent-Type: text/plain; charset=utf-7",
        "Content-Disposition: form-data; name=\"a\"; filename=\"b\"\r\nContent-Type: nothing",
        "Content-Disposition: form-data; name=\"a\0\"",
        "Content-Disposition: form-data; name=\"a\"; filename=\"b\tc\u{1}\"",
        "Content-Disposition: form-data; name=\"a\"\n\nContent-Disposition: form-data; name=\"model\"",
    ] {
        bad.push(part(head, "data"));
    }
    bad.push(part(&format!("Content-Disposition: form-data; name=\"a\"; filename=\"{}\"", "b".repeat(5000)), "c"));
    bad.push(format!("{}--x--\r\n", field("a", "b").repeat(300)));
    for body in bad {
        assert_eq!(parts("x", &body), None, "{body:?}");
    }
}

#[test]
fn one_well_formed_boundary_is_taken_and_written_anew() {
    for (media_type, written) in [
        ("multipart/form-data; boundary=abc-1_2.3'+", "multipart/form-data; boundary=abc-1_2.3'+"),
        ("Multipart/Form-Data;BOUNDARY=\"abc\"", "multipart/form-data; boundary=abc"),
        ("multipart/form-data; boundary=\"a=b\"", "multipart/form-data; boundary=\"a=b\""),
    ] {
        assert_eq!(Boundary::of(media_type).map(|b| b.media_type()).as_deref(), Some(written));
    }
    let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
    for bad in [
        "multipart/form-data",
        "multipart/form-data;",
        "multipart/form-data; boundary",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"",
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary=a; charset=utf-8",
        "multipart/form-data; charset=utf-8; boundary=a",
        "multipart/form-data; boundary=a b",
        "multipart/form-data; boundary=\"a b\"",
        "multipart/form-data; boundary=\"a",
        "multipart/form-data; boundary=a\"",
        "multipart/form-data; boundary=\"a\\\"b\"",
        "multipart/form-data; boundary=a=b",
        "multipart/form-data; boundary =a",
        "multipart/form-data; boundary= a",
        "multipart/form-data; boundary*=utf-8''a",
        "multipart/form-data, multipart/form-data; boundary=a",
        "multipart/mixed; boundary=a",
        "application/json",
        "application/x-www-form-urlencoded; boundary=a",
        &long,
    ] {
        assert_eq!(Boundary::of(bad), None, "{bad}");
    }
}

/// What another reader makes of a form: multer, which hyper's and axum's users read forms with.
fn of_multer(boundary: &str, body: &[u8]) -> Option<Vec<(String, bool, Vec<u8>)>> {
    let body = body.to_vec();
    let stream = futures_util::stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::from(body))]);
    let mut form = multer::Multipart::new(stream, boundary);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async move {
        let mut parts = Vec::new();
        while let Some(field) = form.next_field().await.ok()? {
            let (name, is_file) = (field.name()?.to_owned(), field.file_name().is_some());
            parts.push((name, is_file, field.bytes().await.ok()?.to_vec()));
        }
        Some(parts)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_this_reader_takes_another_reads_the_same(pieces in prop::collection::vec(prop::sample::select(vec![
        "--x\r\n", "--x--\r\n", "--x--", "\r\n", "\n", "\r", "--x", "m", "-", ";", " ", "\"", "=", "a",
        "Content-Disposition: form-data; name=\"model\"", "Content-Disposition: form-data; name=\"file\"; filename=\"f\"",
        "\r\n\r\n", "Content-Type: text/plain", "; name=\"model\"", "; filename=\"b\"", "; name*=utf-8''model",
        "--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ngood\r\n",
        "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n\u{0}data\r\n",
    ]), 0..10), cut in any::<prop::sample::Index>()) {
        let mut body = pieces.concat();
        if !body.is_empty() && cut.index(3) == 0 {
            body.truncate(body.floor_char_boundary(cut.index(body.len())));
        }
        for body in [body.clone(), format!("--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ngood\r\n{body}--x--\r\n")] {
            let Some(ours) = parts("x", &body) else { continue };
            let ours: Vec<_> = ours.into_iter().map(|(name, file, data)| (name, file, data.into_bytes())).collect();
            prop_assert_eq!(Some(ours), of_multer("x", body.as_bytes()), "{:?}", body);
        }
    }

    #[test]
    fn no_bytes_make_it_panic_and_what_it_takes_another_takes(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let boundary = Boundary::of("multipart/form-data; boundary=x").expect("a boundary");
        prop_assert!(read(&boundary, &body).is_err() || of_multer("x", &body).is_some());
    }
}
