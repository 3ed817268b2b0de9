use std::io::Read;

use super::*;

fn bucket(name: &str) -> Bucket {
    Bucket::of(&Location::of(format!("memory://{name}")).unwrap()).unwrap()
}

/// Bytes that tell their places.
fn content(n: usize) -> Vec<u8> {
    (0..n).map(|at| (at % 251) as u8).collect()
}

fn put(bucket: &Bucket, key: &str, content: &[u8]) -> Object {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), content).unwrap();
    bucket.upload(file.path(), key).unwrap();
    bucket.find(key).unwrap().unwrap()
}

#[test]
fn objects_come_back_as_they_were_sent_whatever_their_size() {
    let bucket = bucket("sizes");
    let folder = tempfile::tempdir().unwrap();
    for n in [0, 1, REQUEST_BYTES as usize, MULTIPART_BYTES as usize + 3] {
        let sent = content(n);
        let object = put(&bucket, &format!("of/{n}"), &sent);
        assert_eq!(object.size, n as u64);
        let path = folder.path().join(n.to_string());
        bucket.download(&[(&object, path.clone())]).unwrap();
        assert!(std::fs::read(path).unwrap() == sent, "{n}");
        let mut streamed = Vec::new();
        Stream::new(bucket.clone(), object).read_to_end(&mut streamed).unwrap();
        assert!(streamed == sent, "{n}");
    }
    let keys: Vec<String> = bucket.list("of").unwrap().into_iter().map(|object| object.key).collect();
    assert_eq!(keys.len(), 4);
    assert_eq!(bucket.list_level("of/x").unwrap().len(), 4);
    bucket.delete(&keys).unwrap();
    bucket.delete(&keys).unwrap(); // what is not there is no error
    assert!(bucket.list("").unwrap().is_empty());
}

#[test]
fn ranges_are_those_of_the_bytes() {
    let bucket = bucket("ranges");
    let n = 3 * REQUEST_BYTES as usize + 11;
    let sent = content(n);
    let object = put(&bucket, "x", &sent);
    let n = n as u64;
    // Neighbours, an empty one, one of several requests, and the last byte.
    let ranges = [5..9, 9..30, 40..40, 100..n - 100, n - 1..n];
    for (range, bytes) in ranges.iter().zip(bucket.ranges(&object, &ranges).unwrap()) {
        assert!(bytes == sent[range.start as usize..range.end as usize], "{range:?}");
    }
    use parquet::file::reader::{ChunkReader, Length};
    let chunks = Chunks::new(bucket.clone(), object.clone());
    chunks.send_for(vec![5..9, n - 1000..n]);
    chunks.arrive().unwrap();
    assert!(chunks.get_bytes(5, 4).unwrap() == sent[5..9]);
    assert_eq!(Length::len(&chunks), n);
    assert!(chunks.get_bytes(n - 10, 10).unwrap() == sent[n as usize - 10..]);
    assert!(chunks.get_bytes(1 << 20, 1 << 20).unwrap() == sent[1 << 20..2 << 20]);
    assert!(chunks.get_bytes(n - 5, 6).is_err(), "past the end");
    let mut rest = Vec::new();
    chunks.get_read(n - 2_000_000).unwrap().read_to_end(&mut rest).unwrap();
    assert!(rest == sent[n as usize - 2_000_000..]);

    // Somebody else writes: what was found no longer is.
    put(&bucket, "x", b"other");
    let error = bucket.ranges(&object, std::slice::from_ref(&(0..5))).unwrap_err();
    assert!(problem_of(&error.source).unwrap().is_change(), "{error}: {}", error.source);
    assert_eq!(error.to_string(), "memory://ranges/x: cannot read");
}

#[test]
fn clients_are_set_up_for_every_service() {
    // Without a network: what matters is that the address is understood.
    for address in ["s3://shop", "s3a://shop", "gs://shop"] {
        let place = Location::of(address).unwrap();
        // Google's client wants credentials at once, or asks its machine for them later.
        assert!(connect(&place).is_ok_and(|store| store.to_string().contains("shop")), "{address}");
    }
    let place = Location::of("abfss://shop@account.dfs.core.windows.net/scores").unwrap();
    let store = connect(&place).unwrap().to_string();
    assert!(store.contains("shop") && store.contains("account"), "{store}");
    let bad = Location::of("az://shop/scores").unwrap();
    if std::env::var_os("AZURE_STORAGE_ACCOUNT_NAME").is_none() {
        let error = Bucket::of(&bad).unwrap_err();
        assert!(error.source.to_string().to_lowercase().contains("account"), "{}", error.source);
        assert_eq!(error.to_string(), "az://shop: cannot use the object store");
    }
}
