"""The eventing data plane on a real RabbitMQ: what eventing-rabbitmq v0.49 does, in processes of its own.

An event takes this way: `ingress` -> headers exchange of the Broker -> queue of each Trigger that matches ->
`dispatcher` -> subscriber; and, where the subscriber fails for good, queue of dead letters -> dead letter sink.
"""
