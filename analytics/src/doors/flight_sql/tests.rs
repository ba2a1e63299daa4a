//! A foreign client (arrow-flight's own) at the door.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, Float64Array, StringArray};
use arrow::datatypes::{Float64Type, Int64Type};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::IpcWriteOptions;
use arrow::record_batch::RecordBatch;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{
    CommandGetDbSchemas, CommandGetTables, CommandPreparedStatementQuery, ProstMessageExt as _,
};
use arrow_flight::{FlightData, FlightDescriptor, FlightInfo};
use futures::{TryStreamExt as _, stream};
use prost::Message as _;
use tonic::transport::{Channel, Endpoint};

use super::{FlightConfig, FlightDoor, FlightLimits};
use crate::doors::Token;
use crate::sql::SqlEngine;
use crate::sql::tests::pumps;

type Client = FlightSqlServiceClient<Channel>;

async fn door(token: Option<&str>) -> (FlightDoor, Arc<SqlEngine>) {
    let engine = pumps();
    let config = FlightConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        token: Token::new(token),
        limits: FlightLimits::default(),
    };
    let door = FlightDoor::open(config, Arc::clone(&engine)).await.unwrap();
    (door, engine)
}

async fn client(door: &FlightDoor) -> Client {
    let endpoint = Endpoint::from_shared(format!("http://{}", door.local_addr())).unwrap();
    FlightSqlServiceClient::new(endpoint.connect().await.unwrap())
}

async fn fetch(client: &mut Client, info: FlightInfo) -> Vec<RecordBatch> {
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let answer = client.do_get(ticket).await.unwrap();
    answer.try_collect().await.unwrap()
}

#[tokio::test]
async fn a_client_asks_and_gets_batches() {
    let (door, _) = door(None).await;
    let mut client = client(&door).await;
    let query = "SELECT asset, count(*) AS n FROM pump GROUP BY asset ORDER BY asset";
    let info = client.execute(query.to_owned(), None).await.unwrap();
    let told = info.clone().try_decode_schema().unwrap();
    let batches = fetch(&mut client, info).await;
    assert_eq!(*batches[0].schema(), told);
    assert_eq!(batches[0].column(0).as_string::<i32>().value(2), "p-3");
    assert_eq!(
        batches[0].column(1).as_primitive::<Int64Type>().value(2),
        100
    );
    // An answer without rows still has its columns.
    let none = client.execute("SELECT v FROM pump WHERE v < 0".to_owned(), None);
    let info = none.await.unwrap();
    let rows: usize = fetch(&mut client, info)
        .await
        .iter()
        .map(RecordBatch::num_rows)
        .sum();
    assert_eq!(rows, 0);
    door.close().await;
}

#[tokio::test]
async fn prepared_statements_take_values() {
    let (door, _) = door(None).await;
    let mut client = client(&door).await;
    let query = "SELECT max(v) FROM pump WHERE asset = $1 AND v < $2";
    let mut prepared = client.prepare(query.to_owned(), None).await.unwrap();
    assert_eq!(prepared.parameter_schema().unwrap().fields().len(), 2);
    for (asset, below, expected) in [("p-1", 10.0, 9.5), ("p-2", 4.0, 3.5)] {
        let columns: [(&str, ArrayRef); 2] = [
            ("$1", Arc::new(StringArray::from(vec![asset]))),
            ("$2", Arc::new(Float64Array::from(vec![below]))),
        ];
        let values = RecordBatch::try_from_iter(columns).unwrap();
        prepared.set_parameters(values).unwrap();
        let info = prepared.execute().await.unwrap();
        let batches = fetch(&mut client, info).await;
        let found = batches[0].column(0).as_primitive::<Float64Type>().value(0);
        assert_eq!(found, expected, "{asset}");
    }
    prepared.close().await.unwrap();
    door.close().await;
}

/// A compressed message says itself how much memory is laid out for it.
#[tokio::test]
async fn compressed_values_are_refused() {
    let (door, _) = door(None).await;
    let mut client = client(&door).await;
    let query = "SELECT v FROM pump WHERE asset = $1 LIMIT 1";
    client.prepare(query.to_owned(), None).await.unwrap();
    let command = CommandPreparedStatementQuery {
        prepared_statement_handle: "ps-0".into(),
    };
    let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    for (compression, admitted) in [(None, true), (Some(CompressionType::LZ4_FRAME), false)] {
        let options = IpcWriteOptions::default().try_with_compression(compression);
        let asset: ArrayRef = Arc::new(StringArray::from(vec!["p-1"]));
        let values = RecordBatch::try_from_iter([("$1", asset)]).unwrap();
        let messages: Vec<FlightData> = FlightDataEncoderBuilder::new()
            .with_options(options.unwrap())
            .with_flight_descriptor(Some(descriptor.clone()))
            .build(stream::iter([Ok(values)]))
            .try_collect()
            .await
            .unwrap();
        let bound = client.do_put(stream::iter(messages)).await;
        assert_eq!(bound.is_ok(), admitted, "{compression:?}");
    }
    door.close().await;
}

#[tokio::test]
async fn nothing_is_written() {
    let (door, _) = door(None).await;
    let mut client = client(&door).await;
    for query in [
        "DROP TABLE pump",
        "INSERT INTO pump VALUES ('x')",
        "COPY pump TO '/tmp/x'",
    ] {
        let refused = client
            .execute(query.to_owned(), None)
            .await
            .expect_err(query);
        assert!(refused.to_string().contains("only reads"), "{refused}");
    }
    let refused = client
        .execute_update("DELETE FROM pump".to_owned(), None)
        .await;
    assert!(refused.unwrap_err().to_string().contains("only reads"));
    door.close().await;
}

#[tokio::test]
async fn tables_are_listed_with_their_columns() {
    let (door, _) = door(None).await;
    let mut client = client(&door).await;
    let info = client.get_catalogs().await.unwrap();
    let found = fetch(&mut client, info).await;
    assert_eq!(
        found[0].column(0).as_string::<i32>().value(0),
        "fieldwright"
    );
    let info = client
        .get_db_schemas(CommandGetDbSchemas::default())
        .await
        .unwrap();
    let found = fetch(&mut client, info).await;
    assert_eq!(found[0].column(1).as_string::<i32>().value(0), "public");
    let info = client.get_table_types().await.unwrap();
    let found = fetch(&mut client, info).await;
    assert_eq!(found[0].num_rows(), 2);
    let asked = CommandGetTables {
        include_schema: true,
        table_name_filter_pattern: Some("pu%".to_owned()),
        ..CommandGetTables::default()
    };
    let info = client.get_tables(asked).await.unwrap();
    let found = fetch(&mut client, info).await;
    let names = found[0].column_by_name("table_name").unwrap();
    assert_eq!(
        (names.as_string::<i32>().value(0), names.len()),
        ("pump", 1)
    );
    let info = client.get_sql_info(vec![]).await.unwrap();
    assert!(fetch(&mut client, info).await[0].num_rows() > 3);
    door.close().await;
}

#[tokio::test]
async fn the_token_is_asked_of_every_call() {
    let (door, _) = door(Some("s3cret")).await;
    let mut stranger = client(&door).await;
    assert!(stranger.execute("SELECT 1".to_owned(), None).await.is_err());
    assert!(stranger.handshake("me", "wrong").await.is_err());
    let mut guest = client(&door).await;
    guest.handshake("me", "s3cret").await.unwrap();
    let info = guest.execute("SELECT 1".to_owned(), None).await.unwrap();
    assert_eq!(fetch(&mut guest, info).await[0].num_rows(), 1);
    door.close().await;
}

#[tokio::test]
async fn whoever_drops_an_answer_ends_its_query() {
    let (door, engine) = door(None).await;
    let mut client = client(&door).await;
    let endless = "SELECT a.value, b.value FROM generate_series(1, 1000000) a \
                   CROSS JOIN generate_series(1, 1000000) b";
    let info = client.execute(endless.to_owned(), None).await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let mut answer = client.do_get(ticket).await.unwrap();
    assert!(answer.try_next().await.unwrap().is_some());
    assert_eq!(engine.running()[0].door, "flight");
    drop(answer);
    let patience = std::time::Duration::from_secs(30);
    let ended = tokio::time::timeout(patience, async {
        while !engine.running().is_empty() {
            tokio::task::yield_now().await;
        }
    });
    ended.await.unwrap();
    door.close().await;
}
