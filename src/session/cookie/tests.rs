//! Names, repetition, chunks of every style, bounds.

use super::chunks::{MAX_CHUNKS, MAX_JOINED};
use super::*;

fn find_in(fields: &[&str], name: &str) -> Result<Option<String>, InvalidReason> {
    find_as(Chunks::AUTH_JS, fields, name)
}

fn find_as(style: Chunks, fields: &[&str], name: &str) -> Result<Option<String>, InvalidReason> {
    let mut headers = HeaderMap::new();
    for field in fields {
        headers.append(header::COOKIE, field.parse().unwrap());
    }
    let name = CookieName::parse(name).unwrap();
    let found = find(&headers, &name, style)?;
    Ok(found.map(|value| String::from_utf8(value.into_owned()).unwrap()))
}

#[track_caller]
fn assert_found(header: &str, expected: Option<&str>) {
    let found = find_in(&[header], "s").unwrap();
    assert_eq!(found.as_deref(), expected, "{header}");
}

#[test]
fn names_are_tokens() {
    for good in ["s", "__Secure-authjs.session-token", "a!#$%&'*+-.^_`|~Z9"] {
        assert_eq!(CookieName::parse(good).unwrap().as_str(), good);
    }
    for bad in ["", "a b", "a=b", "a;b", "a\"", "é", "a\n", "a/b", "a,b"] {
        assert!(CookieName::parse(bad).is_none(), "{bad}");
    }
}

#[test]
fn pairs_are_split_and_trimmed_as_the_apps_parser_does() {
    assert_found("s=1", Some("1"));
    assert_found("a=b; s=1; c=d", Some("1"));
    assert_found("a=b;s=1;c=d", Some("1"));
    assert_found(" \t s \t = \t 1 \t ;", Some("1"));
    assert_found("s=a=b=", Some("a=b="));
    assert_found("s", None);
    assert_found("s; s=1", Some("1"));
    assert_found("S=1", None);
    assert_found("ss=1; s-legacy=2; xs=3; a=s=1", None);
    assert_found("s=\"1\"", Some("\"1\""));
    assert_found(";;;=;=s;", None);
}

#[test]
fn the_first_of_a_repeated_name_wins_even_if_it_is_empty() {
    assert_found("s=1; s=2", Some("1"));
    assert_found("s=; s=2", None);
    assert_found("s.0=a; s.1=b; s.0=c", Some("ab"));
    assert_found("s.0=; s.1=b; s.0=c", Some("b"));
}

#[test]
fn empty_values_are_absent() {
    assert_found("s=", None);
    assert_found("s=  ; a=b", None);
    assert_found("s=; s.0=a; s.1=b; s.2=", Some("ab"));
}

#[test]
fn chunks_are_ordered_by_number_and_joined() {
    assert_found("s.10=c; s.2=b; s.0=a", Some("abc"));
    assert_found("s.3=b; s.1=a", Some("ab"));
    assert_found("s.01=x; s.1=y", Some("xy"));
    assert_found("s.99999999999999999999999=z; s.7=a", Some("az"));
    assert_found("s.=1; s.a=2; s.0a=3; s.0.1=4; s.-1=5", None);
}

#[test]
fn base_and_chunks_together_are_refused() {
    let found = find_in(&["s=a; s.0=b"], "s");
    assert_eq!(found, Err(InvalidReason::BaseAndChunks));
}

#[test]
fn several_fields_count_as_one() {
    let found = find_in(&["a=b", "s.1=y", "s.0=x; c=d", "s.1=z"], "s");
    assert_eq!(found.unwrap().as_deref(), Some("xy"));
}

#[test]
fn values_are_percent_decoded_unless_that_fails() {
    assert_found("s=%61%2e%C3%A9", Some("a.é"));
    for raw in ["%", "%6", "%zz", "a%61%", "%ff", "%C3"] {
        assert_found(&format!("s={raw}"), Some(raw));
    }
    assert_found("s.0=%61; s.1=%6; s.2=1", Some("a%61"));
}

#[test]
fn a_session_is_bounded_in_bytes_and_chunks() {
    let full = "v".repeat(MAX_JOINED);
    assert_found(&format!("s={full}"), Some(&full));
    let over = find_in(&[&format!("s={full}v")], "s");
    assert_eq!(over, Err(InvalidReason::TooLarge));
    let over = find_in(&[&format!("s.0={full}"), "s.1=v"], "s");
    assert_eq!(over, Err(InvalidReason::TooLarge));

    let chunks = |count: usize| {
        let chunks: Vec<_> = (0..count).map(|n| format!("s.{n}=v")).collect();
        chunks.join("; ")
    };
    assert_found(&chunks(MAX_CHUNKS), Some(&"v".repeat(MAX_CHUNKS)));
    for count in [MAX_CHUNKS + 1, MAX_CHUNK_NAMES, 10_000] {
        let over = find_in(&[&chunks(count)], "s");
        assert_eq!(over, Err(InvalidReason::TooManyChunks), "{count}");
    }
}

#[test]
fn all_names_are_listed_without_their_values() {
    let mut headers = HeaderMap::new();
    headers.append(header::COOKIE, "a=1; b = 2; nothing".parse().unwrap());
    headers.append(header::COOKIE, "c=3".parse().unwrap());
    assert_eq!(names(&headers).collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[track_caller]
fn assert_joined(style: Chunks, header: &str, expected: Result<Option<&str>, InvalidReason>) {
    let found = find_as(style, &[header], "s");
    let expected = expected.map(|value| value.map(str::to_owned));
    assert_eq!(found, expected, "{style:?} {header}");
}

#[test]
fn without_chunks_only_the_name_itself_counts() {
    assert_joined(Chunks::NONE, "s.0=a; s=b; s__0=c", Ok(Some("b")));
    assert_joined(Chunks::NONE, "s.0=a", Ok(None));
}

#[test]
fn supabase_takes_the_base_or_chunks_up_to_the_first_gap() {
    let style = Chunks::SUPABASE;
    assert_joined(style, "s=a; s.0=b", Ok(Some("a")));
    assert_joined(style, "s=; s.1=b; s.0=a", Ok(Some("ab")));
    assert_joined(style, "s.0=a; s.2=c", Ok(Some("a")));
    assert_joined(style, "s.1=b; s.2=c", Ok(None));
    assert_joined(style, "s.00=a; s.1=b", Ok(None));
    assert_joined(style, "s.0=a; s.0=b", Ok(Some("a")));
}

#[test]
fn auth0_takes_the_base_or_whole_chunks_and_the_last_of_a_repeated_name() {
    let style = Chunks::AUTH0;
    assert_joined(style, "s__1=b; s=a; s__0=c", Ok(Some("a")));
    assert_joined(style, "s__1=b; s__0=a", Ok(Some("ab")));
    assert_joined(style, "s__1=b", Err(InvalidReason::ChunkMissing));
    assert_joined(style, "s__0=a; s__2=c", Err(InvalidReason::ChunkMissing));
    assert_joined(style, "s=a; s=b", Ok(Some("b")));
    assert_joined(style, "s__0=a; s__0=b; s.0=x", Ok(Some("b")));
}

#[test]
fn better_auth_takes_the_base_or_all_chunks() {
    let style = Chunks::BETTER_AUTH;
    assert_joined(style, "s=a; s.0=b", Ok(Some("a")));
    assert_joined(style, "s.3=b; s.1=a", Ok(Some("ab")));
}

#[test]
fn the_pairs_of_a_session_are_handed_on_as_they_came() {
    let pairs_in = |fields: &[&str], style| {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(header::COOKIE, field.parse().unwrap());
        }
        let name = CookieName::parse("s").unwrap();
        let found = pairs_of(&headers, &name, style)?;
        let text = |pair: &[u8]| String::from_utf8(pair.to_vec()).unwrap();
        Ok(found.into_iter().map(text).collect::<Vec<_>>())
    };
    let fields = [
        "a=b; s.1=%31;s= \"x\" ; s2=no; s__0=z",
        "s.0=0; s=second; s.1=again; s.x=no; s.2=",
    ];
    let all = pairs_in(&fields, Chunks::ANY).unwrap();
    assert_eq!(all, ["s.1=%31", "s= \"x\"", "s__0=z", "s.0=0"]);
    assert_eq!(pairs_in(&fields, Chunks::NONE).unwrap(), ["s= \"x\""]);
    let many: Vec<_> = (0..100).map(|n| format!("s.{n}=v")).collect();
    let many = pairs_in(&[&many.join("; ")], Chunks::ANY);
    assert_eq!(many, Err(InvalidReason::TooManyChunks));
    let large = format!("s={}", "x".repeat(MAX_JOINED));
    assert_eq!(
        pairs_in(&[&large], Chunks::ANY),
        Err(InvalidReason::TooLarge)
    );
}
