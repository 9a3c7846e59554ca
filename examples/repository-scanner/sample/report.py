"""Part of a small application with known weaknesses, for the scanner to find. Never run it."""

import os
import sqlite3


def archive(name):
    os.system("tar czf /backups/" + name + ".tgz reports/")


def find(connection: sqlite3.Connection, author):
    return connection.execute("SELECT * FROM report WHERE author = '%s'" % author).fetchall()


def total(expression):
    return eval(expression)
