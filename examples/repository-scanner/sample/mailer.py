"""Part of a small application with known weaknesses, for the scanner to find. Never run it."""

import requests

password = "not-a-real-password"


def send(message):
    return requests.post("https://mail.example/send", json=message, auth=("app", password), verify=False)
