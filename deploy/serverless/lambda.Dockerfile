# AWS Lambda, behind a function URL with InvokeMode RESPONSE_STREAM. Read README.md first: there it says
# what does not work.
#
#   docker build -f deploy/Dockerfile -t behest-gateway .
#   docker build -f deploy/serverless/lambda.Dockerfile -t behest-gateway-lambda .
ARG GATEWAY=behest-gateway:latest
ARG ADAPTER=public.ecr.aws/awsguru/aws-lambda-adapter:0.9.0
FROM ${GATEWAY} AS gateway
FROM ${ADAPTER} AS adapter

FROM scratch
COPY --from=gateway /behest-gateway /behest-gateway
COPY --from=adapter /lambda-adapter /opt/extensions/lambda-adapter
# The adapter waits for any answer under 500 to GET / here: without app.url that is a 404, and will do.
ENV AWS_LWA_PORT=8080 AWS_LWA_INVOKE_MODE=response_stream
USER 65532:65532
ENTRYPOINT ["/behest-gateway"]
