//! A small client of the HTTP API for the commands that speak to a running service.

use serde_json::Value;

use super::Failure;

/// One service, with the token that it may ask for.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    http: reqwest::Client,
    token: Option<String>,
}

impl Client {
    /// A client of the service at `base`, such as `http://127.0.0.1:8080`.
    pub fn new(base: &str, token: Option<String>) -> Result<Self, Failure> {
        let http = reqwest::Client::builder()
            .build()
            .map_err(|error| Failure::Failed(format!("cannot start the HTTP client: {error}")))?;
        Ok(Self {
            base: base.trim_end_matches('/').to_owned(),
            http,
            token,
        })
    }

    /// `GET`, JSON back.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.send(self.http.get(self.url(path))).await
    }

    /// `POST` of a JSON body, JSON back.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.send(self.http.post(self.url(path)).json(body)).await
    }

    /// `POST` of a JSON body about a version that was read, JSON back.
    pub async fn post_version(
        &self,
        path: &str,
        version: i64,
        body: &Value,
    ) -> Result<Value, Failure> {
        let request = self.http.post(self.url(path)).json(body);
        self.send(request.header("If-Match", format!("\"{version}\"")))
            .await
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn send(&self, mut request: reqwest::RequestBuilder) -> Result<Value, Failure> {
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.map_err(|error| {
            Failure::Unavailable(format!(
                "no answer from the service at {} ({}); is it running?",
                self.base,
                innermost(&error)
            ))
        })?;
        let status = response.status().as_u16();
        let text = response.text().await.map_err(|error| {
            Failure::Unavailable(format!("the service at {} broke off: {error}", self.base))
        })?;
        let value: Value = serde_json::from_str(&text).map_err(|_| {
            Failure::Failed(format!(
                "{} answered {status} with something that is not JSON; is it a Fieldwright service?",
                self.base
            ))
        })?;
        if (200..300).contains(&status) {
            return Ok(value);
        }
        Err(problem(status, &value))
    }
}

/// A problem document as a failure with the exit code that fits it.
fn problem(status: u16, value: &Value) -> Failure {
    let part = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let text = match (part("title"), part("detail")) {
        ("", "") => format!("the service answered {status}"),
        (title, "") => title.to_owned(),
        (_, detail) => detail.to_owned(),
    };
    match status {
        404 => Failure::NotFound(text),
        409 | 412 | 428 | 403 => Failure::Refused(text),
        400 | 401 | 413 | 415 | 422 => Failure::Usage(text),
        429 | 502..=504 => Failure::Unavailable(text),
        _ => Failure::Failed(text),
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
