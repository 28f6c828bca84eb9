"""The one-machine platform: it reads knative/, starts the servers, and runs the functions as the cluster would."""
