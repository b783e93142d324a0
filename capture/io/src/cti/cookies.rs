//! The cookies that one server set (RFC 6265): name, value and path; they go back to that server only.
//!
//! What a session needs and no more: an expiry date is left to the server, which knows when its session has ended.

/// Cookies kept of one server.
const MOST: usize = 32;
/// Longest cookie kept, in bytes.
const LONGEST: usize = 4096;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Cookies(Vec<Cookie>);

#[derive(Debug)]
struct Cookie {
    name: String,
    value: String,
    path: String,
    secure: bool,
}

impl Cookies {
    /// Takes up a `Set-Cookie` header of an answer to a request for `request_path`.
    pub(super) fn set(&mut self, header: &str, request_path: &str) {
        let mut parts = header.split(';');
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
            return;
        };
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || name.len() + value.len() > LONGEST {
            return;
        }
        let mut path = default_path(request_path);
        let mut secure = false;
        let mut gone = false;
        for attribute in parts {
            let (key, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            match key.trim().to_ascii_lowercase().as_str() {
                "path" if value.trim().starts_with('/') => path = value.trim(),
                "secure" => secure = true,
                "max-age" => gone = value.trim().parse().is_ok_and(|seconds: i64| seconds <= 0),
                _ => {}
            }
        }
        self.0.retain(|known| known.name != name || known.path != path);
        if !gone && self.0.len() < MOST {
            self.0.push(Cookie {
                name: name.to_owned(),
                value: value.to_owned(),
                path: path.to_owned(),
                secure,
            });
        }
    }

    /// The `Cookie` header of a request for `path`, if any belongs there.
    pub(super) fn header(&self, path: &str, is_tls: bool) -> Option<String> {
        let path = path.split('?').next().unwrap_or(path);
        let fitting = self
            .0
            .iter()
            .filter(|cookie| (is_tls || !cookie.secure) && lies_under(path, &cookie.path));
        let pairs: Vec<_> = fitting
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

/// RFC 6265, section 5.1.4.
fn default_path(request_path: &str) -> &str {
    match request_path.rfind('/') {
        Some(0) | None => "/",
        Some(at) => &request_path[..at],
    }
}

/// RFC 6265, section 5.1.4.
fn lies_under(path: &str, cookie_path: &str) -> bool {
    path.strip_prefix(cookie_path)
        .is_some_and(|rest| rest.is_empty() || cookie_path.ends_with('/') || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_goes_back_under_its_path_only() {
        let mut cookies = Cookies::default();
        let set = "JSESSIONID=ab=1; Path=/com.broadsoft.xsi-events; Secure; HttpOnly";
        cookies.set(set, "/com.broadsoft.async/com.broadsoft.xsi-events/v2.0/channel");
        let header = |path| cookies.header(path, true);
        assert_eq!(
            header("/com.broadsoft.xsi-events/v2.0/x?y").as_deref(),
            Some("JSESSIONID=ab=1")
        );
        assert_eq!(header("/com.broadsoft.xsi-events").as_deref(), Some("JSESSIONID=ab=1"));
        assert_eq!(header("/com.broadsoft.xsi-eventsX"), None);
        assert_eq!(header("/other"), None);
        assert_eq!(cookies.header("/com.broadsoft.xsi-events", false), None);
    }

    #[test]
    fn a_new_value_replaces_the_old_and_age_zero_removes_it() {
        let mut cookies = Cookies::default();
        cookies.set("a=1", "/x/y");
        cookies.set("a=2; Path=/x", "/x/y");
        cookies.set("b=3; Path=/", "/");
        assert_eq!(cookies.header("/x/z", true).as_deref(), Some("a=2; b=3"));
        cookies.set("a=; Max-Age=0", "/x/y");
        assert_eq!(cookies.header("/x/z", true).as_deref(), Some("b=3"));
    }

    #[test]
    fn what_is_no_cookie_or_too_much_is_left() {
        let mut cookies = Cookies::default();
        for header in ["", "a", "=1", &format!("a={}", "x".repeat(LONGEST))] {
            cookies.set(header, "/");
        }
        (0..100).for_each(|number| cookies.set(&format!("c{number}=1"), "/"));
        assert_eq!(cookies.0.len(), MOST);
    }
}
