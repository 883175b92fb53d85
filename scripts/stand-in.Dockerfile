# The substitute for public.ecr.aws/lambda/python:3.13, see scripts/base-image.
# It works with Docker's classic builder: no heredocs, no COPY --chmod.
FROM docwell/python-base:3.13
ARG ARCH
# Reject wheels that need a newer glibc than the real image's 2.34, which would fail only on Lambda (PEP 600).
RUN printf '%s\n' 'def manylinux_compatible(major, minor, arch):' '    return (major, minor) <= (2, 34)' \
        > /usr/local/lib/python3.13/site-packages/_manylinux.py
COPY stand-in.txt sam-cli.txt /build/
# The interface client runs the handler. The emulator, from the SAM CLI, serves a plain `docker run`.
# The real image has boto3 too.
RUN ln -s /usr/local /var/lang \
 && pip install --quiet --no-cache-dir --require-hashes --only-binary :all: -r /build/stand-in.txt \
 && pip install --quiet --no-cache-dir --require-hashes --only-binary :all: --no-deps --target /tmp/sam \
        -r /build/sam-cli.txt \
 && install -m 755 "/tmp/sam/samcli/local/rapid/aws-lambda-rie-${ARCH}" /usr/local/bin/aws-lambda-rie \
 && rm -rf /tmp/sam
# Start the runtime: directly under Lambda or sam, else under the emulator.
RUN mkdir -p /var/runtime /var/task /opt \
 && printf '%s\n' '#!/bin/sh' \
        '[ $# -eq 1 ] || { echo "entrypoint requires the handler name to be the first argument" >&2; exit 142; }' \
        'export _HANDLER="$1"' \
        '[ -n "$AWS_LAMBDA_RUNTIME_API" ] || exec /usr/local/bin/aws-lambda-rie /var/runtime/bootstrap' \
        'exec /var/runtime/bootstrap' > /lambda-entrypoint.sh \
 && printf '%s\n' '#!/bin/sh' \
        '# The function precedes the layers, and both precede the packages of the runtime.' \
        'export PYTHONPATH="/var/task:/opt/python/lib/python3.13/site-packages:/opt/python${PYTHONPATH:+:$PYTHONPATH}"' \
        'export AWS_EXECUTION_ENV="${AWS_EXECUTION_ENV:-AWS_Lambda_python3.13}"' \
        'exec ${AWS_LAMBDA_EXEC_WRAPPER:+"$AWS_LAMBDA_EXEC_WRAPPER"} python3 -m awslambdaric "$_HANDLER"' \
        > /var/runtime/bootstrap \
 && chmod 755 /lambda-entrypoint.sh /var/runtime/bootstrap
ENV LAMBDA_TASK_ROOT=/var/task LAMBDA_RUNTIME_DIR=/var/runtime \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/bin \
    LD_LIBRARY_PATH=/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib
WORKDIR /var/task
ENTRYPOINT ["/lambda-entrypoint.sh"]
