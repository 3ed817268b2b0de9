//! What a store answers, in words that say what to do.

use std::error::Error;
use std::fmt;

use super::super::location::Service;

/// Kinds of refusals and failures, as far as a person does something else about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    NoCredentials,
    BadCredentials,
    Denied,
    NoBucket,
    NotThere,
    Changed,
    Unreachable,
    Other,
}

/// Why a request to an object store came to nothing.
#[derive(Debug)]
pub(crate) struct Problem {
    service: Service,
    kind: Kind,
    text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Problem {}

/// The problem inside a system's answer, if it came from an object store.
pub(crate) fn problem_of(error: &std::io::Error) -> Option<&Problem> {
    error.get_ref()?.downcast_ref()
}

/// Hosts that are asked for credentials when none are set.
const CREDENTIAL_HOSTS: [&str; 4] =
    ["//169.254.169.254/", "/latest/api/token", "//metadata.google.internal/", "//metadata/"];
/// Answers to credentials that are wrong or too old.
const BAD_CREDENTIALS: [&str; 7] = [
    "NotSignedUp",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "AuthenticationFailed",
    "InvalidAuthenticationInfo",
];

/// Answers to credentials that are right and not enough.
const DENIED: [&str; 3] = ["AccessDenied", "AuthorizationFailure", "AuthorizationPermissionMismatch"];

/// Whether a store says that the bucket, and not the object, is not there.
pub(super) fn is_missing_bucket(text: &str) -> bool {
    ["NoSuchBucket", "ContainerNotFound", "bucket does not exist"].iter().any(|code| text.contains(code))
}

/// What stands between `<tag>` and `</tag>`.
fn element<'a>(text: &'a str, tag: &str) -> Option<&'a str> {
    let start = text.find(&format!("<{tag}>"))? + tag.len() + 2;
    let length = text[start..].find(&format!("</{tag}>"))?;
    Some(text[start..start + length].trim()).filter(|text| !text.is_empty())
}

/// The deepest cause, which is what the system said.
fn root(error: &(dyn Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string().trim_end_matches([':', ' ']).to_string()
}

impl Problem {
    pub(super) fn new(service: Service, error: &object_store::Error) -> Self {
        use object_store::Error as Store;
        let text = error.to_string();
        let says = |codes: &[&str]| codes.iter().any(|code| text.contains(code));
        let code = element(&text, "Code");
        let kind = match error {
            _ if says(&CREDENTIAL_HOSTS) => Kind::NoCredentials,
            _ if is_missing_bucket(&text) => Kind::NoBucket,
            _ if says(&BAD_CREDENTIALS) => Kind::BadCredentials,
            _ if says(&DENIED) => Kind::Denied,
            Store::Unauthenticated { .. } => Kind::BadCredentials,
            Store::PermissionDenied { .. } => Kind::Denied,
            Store::NotFound { .. } => Kind::NotThere,
            Store::Precondition { .. } | Store::NotModified { .. } => Kind::Changed,
            Store::Generic { .. } if text.contains("Error performing") && !text.contains("Server returned") => {
                Kind::Unreachable
            }
            _ => Kind::Other,
        };
        // The library's own text tells the milliseconds, and the whole answer.
        let said = match (code, element(&text, "Message")) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.to_string(),
            _ => root(error),
        };
        let text = match kind {
            Kind::NoCredentials => "no credentials are set, and this machine has none of its own".into(),
            Kind::BadCredentials => format!("the credentials are refused: {said}"),
            Kind::Denied => format!("access is denied: {said}"),
            Kind::NoBucket => "the bucket does not exist".into(),
            Kind::NotThere => "there is no such object".into(),
            Kind::Changed => "the object was replaced while it was being read".into(),
            Kind::Unreachable => {
                match text.rsplit_once("Error performing ").and_then(|(_, rest)| rest.split(' ').nth(1)) {
                    Some(url) => format!("no answer from {}: {said}", host(url)),
                    None => said,
                }
            }
            Kind::Other => said,
        };
        Self { service, kind, text }
    }

    /// Whether somebody has written, or removed, what was being read.
    pub(crate) fn is_change(&self) -> bool {
        matches!(self.kind, Kind::Changed | Kind::NotThere)
    }

    /// What to type next.
    pub(crate) fn hints(&self) -> Vec<String> {
        let (credentials, endpoint) = match self.service {
            Service::Google => ("`GOOGLE_APPLICATION_CREDENTIALS` (a file) or `GOOGLE_SERVICE_ACCOUNT_KEY`", None),
            Service::Azure => {
                ("`AZURE_STORAGE_ACCOUNT_NAME` and `AZURE_STORAGE_ACCOUNT_KEY` or `AZURE_STORAGE_SAS_TOKEN`", None)
            }
            _ => ("`AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`", Some("`AWS_ENDPOINT_URL`, `AWS_REGION`")),
        };
        let elsewhere =
            endpoint.map(|endpoint| format!("a store that is not Amazon's, or another region, is set by {endpoint}"));
        match self.kind {
            Kind::NoCredentials => {
                let mut hints = vec![format!("set {credentials} in the environment")];
                hints.extend(
                    (self.service == Service::S3).then(|| "a public bucket needs `AWS_SKIP_SIGNATURE=true`".into()),
                );
                hints
            }
            Kind::BadCredentials => {
                vec![format!("check {credentials} in the environment, and whether they have expired")]
            }
            Kind::Denied => vec!["have the rights to list, read, write and remove objects there granted".into()],
            Kind::NoBucket => std::iter::once("check the name, or create the bucket".into()).chain(elsewhere).collect(),
            Kind::Unreachable => elsewhere.into_iter().collect(),
            Kind::NotThere | Kind::Changed => vec!["try again when nobody writes there".into()],
            Kind::Other => Vec::new(),
        }
    }
}

/// Scheme and host of a URL.
fn host(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find('/').map_or(url.len(), |at| start + at);
    &url[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.to_string().into() }
    }

    #[test]
    fn answers_are_told_apart() {
        let kind = |error: &object_store::Error| Problem::new(Service::S3, error).kind;
        let no_bucket = "Error performing GET http://h/b in 1ms - Server returned non-2xx status code: 404 Not Found: \
                         <Error><Code>NoSuchBucket</Code></Error>";
        assert_eq!(kind(&generic(no_bucket)), Kind::NoBucket);
        let metadata = "Error performing PUT http://169.254.169.254/latest/api/token in 9s, after 6 retries";
        assert_eq!(kind(&generic(metadata)), Kind::NoCredentials);
        let denied =
            object_store::Error::PermissionDenied { path: "k".into(), source: "<Code>AccessDenied</Code>".into() };
        assert_eq!(kind(&denied), Kind::Denied);
        let wrong = object_store::Error::PermissionDenied {
            path: "k".into(),
            source: "<Code>InvalidAccessKeyId</Code><Message>No such key.</Message>".into(),
        };
        let problem = Problem::new(Service::S3, &wrong);
        assert_eq!(problem.to_string(), "the credentials are refused: InvalidAccessKeyId: No such key.");
        assert!(problem.hints()[0].contains("AWS_ACCESS_KEY_ID"));
        let down =
            "Error performing list request: Error performing GET http://127.0.0.1:9/b?list-type=2 in 1ms - HTTP error";
        let problem = Problem::new(Service::S3, &generic(down));
        assert_eq!(problem.kind, Kind::Unreachable);
        assert!(problem.to_string().starts_with("no answer from http://127.0.0.1:9: "), "{problem}");
        let azure = Problem::new(Service::Azure, &generic(metadata));
        assert!(azure.hints()[0].contains("AZURE_STORAGE_ACCOUNT_NAME"));
        let google = Problem::new(Service::Google, &generic(metadata));
        assert!(google.hints()[0].contains("GOOGLE_APPLICATION_CREDENTIALS"));
    }
}
