"""A datasette over a small database, in the directory that the environment names."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from datasette.app import Datasette

HERE = Path(__file__).parent
DATABASE = Path(os.environ["PLANTS_DIRECTORY"], "plants.db")

SCHEMA = """
create table if not exists plants (id integer primary key, name text, family text);
insert or ignore into plants values
    (1, 'Acer campestre', 'Sapindaceae'), (2, 'Betula pendula', 'Betulaceae'), (3, 'Corylus avellana', 'Betulaceae');
create table if not exists places (name text primary key, plant integer references plants (id));
insert or ignore into places values ('Mühlweg', 1), ('Moor/Heath', 2);
create view if not exists birches as select * from plants where family = 'Betulaceae';
"""

with closing(sqlite3.connect(DATABASE)) as connection:
    connection.executescript(SCHEMA)

datasette = Datasette(
    [str(DATABASE)],
    settings={"default_cache_ttl": 3600, "num_sql_threads": 1},
    # Its own footer tells how long the queries took.
    template_dir=str(HERE / "templates"),
    static_mounts=[("assets", str(HERE / "assets"))],
)
app = datasette.app()
