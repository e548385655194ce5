//! A bucket of S3 or of what speaks like it, of Google Cloud Storage, or of Azure, from its URL.

use crate::error::ArchiveError;
use object_store::{
    ClientOptions, ObjectStore, ObjectStoreScheme, RetryConfig, aws::AmazonS3Builder, azure::MicrosoftAzureBuilder,
    gcp::GoogleCloudStorageBuilder, memory::InMemory, path::Path as Key,
};
use std::{sync::Arc, time::Duration};
use url::Url;

/// A request that fails is made again so often, over some seconds. Whoever seals tries again later anyhow, and whoever
/// reads should learn soon that the store is away.
const RETRIES: usize = 6;
const RETRY_FOR: Duration = Duration::from_secs(120);
/// A request may take so long: the longest part, of 128 MB, and what goes up beside it share what may be a hospital's thin
/// line, 1 MB/s.
const TIMEOUT: Duration = Duration::from_secs(300);

/// The builders of the three clouds are alike and share no trait.
macro_rules! built {
    ($builder:ty, $place:expr, $settings:expr) => {{
        let Settings { environment, query } = $settings;
        let mut builder = <$builder>::new()
            .with_url($place.to_string())
            .with_retry(retries())
            .with_client_options(ClientOptions::new().with_timeout(TIMEOUT));
        // The environment has much under these names that is for others.
        for (name, value) in environment {
            if let Ok(key) = name.parse() {
                builder = builder.with_config(key, value);
            }
        }
        for (name, value) in query {
            let unknown = |_| ArchiveError::Config(format!("store_url: there is no setting {name:?} of such a store"));
            builder = builder.with_config(name.parse().map_err(unknown)?, value);
        }
        let store: Arc<dyn ObjectStore> = Arc::new(builder.build()?);
        store
    }};
}
/// The store and where keys start in it. Settings come from the URL's query, such as `?endpoint=http://minio:9000`, before
/// those of the environment under the names that the clouds' own tools use; secrets belong into the environment only.
pub(crate) fn open(url: &Url) -> Result<(Arc<dyn ObjectStore>, Key), ArchiveError> {
    let mut place = url.clone();
    place.set_query(None);
    let (scheme, prefix) = ObjectStoreScheme::parse(&place).map_err(object_store::Error::from)?;
    let store = match scheme {
        ObjectStoreScheme::AmazonS3 => built!(AmazonS3Builder, place, settings(url, "AWS_")),
        ObjectStoreScheme::GoogleCloudStorage => built!(GoogleCloudStorageBuilder, place, settings(url, "GOOGLE_")),
        ObjectStoreScheme::MicrosoftAzure => built!(MicrosoftAzureBuilder, place, settings(url, "AZURE_")),
        ObjectStoreScheme::Memory => Arc::new(InMemory::new()),
        _ => return Err(ArchiveError::Config(format!("store_url: {} is no scheme of a bucket", url.scheme()))),
    };
    Ok((store, prefix))
}

/// Named settings, those of the URL last.
struct Settings {
    environment: Vec<(String, String)>,
    query: Vec<(String, String)>,
}

fn settings(url: &Url, prefix: &str) -> Settings {
    let variables = std::env::vars().filter(|(name, _)| name.starts_with(prefix));
    let query = url.query_pairs().map(|(name, value)| (name.to_lowercase(), value.into_owned()));
    Settings {
        environment: variables.map(|(name, value)| (name.to_lowercase(), value)).collect(),
        query: query.collect(),
    }
}

fn retries() -> RetryConfig {
    RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_FOR, ..RetryConfig::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(url: &str) -> Result<String, String> {
        let url = url.parse::<Url>().map_err(|e| e.to_string())?;
        open(&url).map(|(_, prefix)| prefix.to_string()).map_err(|e| e.to_string())
    }

    #[test]
    fn a_bucket_is_named_with_where_keys_start_and_how_it_is_reached() {
        assert_eq!(prefix("s3://bucket/a/b?endpoint=http://127.0.0.1:9&allow_http=true&region=x"), Ok("a/b".into()));
        assert_eq!(prefix("s3://bucket"), Ok(String::new()));
        assert_eq!(prefix("memory:///a"), Ok("a".into()));
    }

    #[test]
    fn a_setting_that_is_not_one_is_told_of() {
        assert!(prefix("s3://bucket?endpiont=http://x").is_err_and(|e| e.contains("endpiont")));
        assert!(prefix("ftp://host/a").is_err());
    }
}
