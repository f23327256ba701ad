"""How Chopar is run elsewhere than by `make up`: one image, a compose file, Kubernetes manifests, alerts, a dashboard.

`python -m deploy.render` makes what follows from the code (topics, access lists, processes); the rest is written by
hand.
"""
