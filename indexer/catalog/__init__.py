"""The catalog: the only truth of a library. Tables, migrations and the queries on them."""
