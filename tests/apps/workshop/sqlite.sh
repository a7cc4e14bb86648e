#!/bin/bash
# sqlite on a disk: transactions in both kinds of journal, four writers, and writers that are killed in the middle.
# rootfs: workshop
# long
# timeout: 600
export LC_ALL=C
rm -rf /tmp/sqlite && mkdir -p /tmp/sqlite && cd /tmp/sqlite || exit 1

for mode in delete wal truncate persist; do
    db=$mode.db
    sqlite3 $db "pragma journal_mode=$mode; create table t(a integer primary key, b text, c integer);" || exit 1
    sqlite3 $db << 'end'
begin;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000)
    insert into t select i, 'text ' || (i * 7919 % 20011), i * 31 % 1009 from n;
commit;
create index u on t(c, b);
select count(*), sum(length(b)), max(c) from t;
update t set c = c + 1 where a % 3 = 0;
delete from t where a % 5 = 0;
begin; delete from t; rollback;
select count(*), sum(c) from t;
vacuum;
pragma integrity_check;
end

    # Four writers, each of whose transactions moves something from one row to another.
    sqlite3 $db "create table m(k integer primary key, v integer);"
    for k in 1 2 3 4 5 6 7 8; do echo "insert into m values($k, 100);"; done | sqlite3 $db
    for writer in 1 2 3 4; do
        for i in $(seq 1 15); do
            echo ".timeout 60000"
            echo "begin immediate; update m set v = v - 1 where k = $((writer));"
            echo "update m set v = v + 1 where k = $((writer + 4)); commit;"
        done | sqlite3 $db &
    done
    wait
    sqlite3 $db "select k, v from m order by k; select sum(v) from m; pragma integrity_check;" | tr '\n' ' '; echo

    # A writer that is killed: what it had not committed is gone, the rest whole.
    for round in 1 2 3 4 5; do
        (echo ".bail on"; echo ".timeout 60000"; while :; do
            echo "begin immediate; update m set v = v - 7 where k = 1; update t set b = b || 'x';"
            echo "update m set v = v + 7 where k = 2; commit;"
        done) | sqlite3 $db > /dev/null 2>&1 &
        writer=$!
        until sqlite3 $db ".timeout 60000" "select v < 0 from m where k = 1" | grep -q . ; do :; done
        read -rt "0.$round" < <(sleep 5) # some time, another each round
        kill -9 $writer; wait $writer 2> /dev/null
        sqlite3 $db ".timeout 60000" "select sum(v) from m; pragma integrity_check;" | tr '\n' ' '
    done
    echo
done
sqlite3 backup.db ".restore delete.db" && sqlite3 backup.db "pragma integrity_check; select count(*) from m"
sqlite3 delete.db .dump | grep -v "^INSERT INTO t " | grep -c INSERT
cd / && rm -rf /tmp/sqlite
