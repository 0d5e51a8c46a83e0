def check_expectations(connection, table):
    return []
